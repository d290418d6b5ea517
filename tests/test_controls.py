"""The bundled control clips, measured with the real face network, rank as their construction demands.

Two identities of each of the seven groups (all 50 in `slow`). What each system is built to show stands in
`mmbench/synth/control.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mmbench.testsets
from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.items import Item
from mmbench.reports.numbers.stats import Estimate, cluster_mean, paired_test
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.items import read_manifest

METRICS = (
    *("dynamic_degree", "motion_smoothness", "id_similarity", "similarity_decay", "fm_ref", "fm_inter", "face_rate"),
)
SYSTEMS = ("truth", "still", "copy-paste", "drift", "stranger", "jitter", "vanish", "camera-only")

Mean = Callable[[str, str], Estimate]
Pairs = Callable[[str, str, str], Estimate]


def bundled(per_group: int | None) -> list[Item]:
    """Control clips of the first identities of each group."""
    items = read_manifest(Path(mmbench.testsets.__path__[0]) / "synthetic50" / "manifest.csv")
    groups: dict[str | None, dict[str, None]] = {}
    for item in items:
        groups.setdefault(item.group, {})[item.identity] = None
    chosen = {identity for people in groups.values() for identity in list(people)[:per_group]}
    return [item for item in items if item.identity in chosen]


@pytest.fixture(
    scope="module",
    params=[2, pytest.param(None, marks=pytest.mark.slow)],
    ids=["two of each group", "all"],
)
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EvaluateResult:
    settings = EvaluateSettings(metrics=METRICS, flow=FlowSettings(backend="dis"))
    return evaluate(bundled(request.param), tmp_path_factory.mktemp("controls"), settings, workers=2)


@pytest.fixture
def mean(measured: EvaluateResult) -> Mean:
    """Mean of a metric for a system with its cluster interval."""

    def of(metric: str, system: str) -> Estimate:
        rows = [row for row in measured.rows if row.item.model == system]
        scores = [(row.item.identity, row.score(metric)) for row in rows]
        known = [(identity, s.value) for identity, s in scores if s is not None and s.value is not None]
        return cluster_mean([value for _, value in known], [identity for identity, _ in known])

    return of


@pytest.fixture
def difference(measured: EvaluateResult) -> Pairs:
    """Paired difference of two systems over identities, with its interval."""

    def of(metric: str, a: str, b: str) -> Estimate:
        values: dict[str, dict[str, float]] = {a: {}, b: {}}
        for row in measured.rows:
            score = row.score(metric)
            if row.item.model in values and score is not None and score.value is not None:
                values[row.item.model][row.item.identity] = score.value
        both = sorted(values[a].keys() & values[b].keys())
        return paired_test([values[a][i] - values[b][i] for i in both], both).difference

    return of


def test_every_clip_is_measured_and_every_system_there(measured: EvaluateResult) -> None:
    assert measured.complete, [row.error for row in measured.failed] + list(measured.errors)
    assert {row.item.model for row in measured.rows} == set(SYSTEMS)


def test_truth_before_drift_before_stranger_with_intervals_apart(mean: Mean) -> None:
    for metric in ("id_similarity", "id_margin", "id_centred"):
        truth, drift, stranger = (mean(metric, system) for system in ("truth", "drift", "stranger"))
        assert truth.low is not None and drift.low is not None
        assert drift.high is not None and stranger.high is not None
        assert truth.low > drift.high
        assert drift.low > stranger.high


def test_drift_loses_identity_fastest(mean: Mean) -> None:
    low = mean("similarity_decay", "drift").low
    assert low is not None
    for system in SYSTEMS:
        if system not in ("drift", "vanish"):  # a face that leaves half-way gives too short a curve
            high = mean("similarity_decay", system).high
            assert high is not None
            assert low > high, system


def test_still_has_no_motion(mean: Mean) -> None:
    assert mean("dynamic_degree", "still").mean == 0
    assert mean("fm_inter", "still").mean == pytest.approx(0, abs=0.02)  # equal frames but for compression
    assert mean("fm_inter_rate", "still").mean == pytest.approx(0, abs=0.005)


def test_copied_photo_has_the_right_identity_and_no_distance_to_the_reference(mean: Mean, difference: Pairs) -> None:
    copied, truth = mean("id_similarity", "copy-paste"), mean("id_similarity", "truth")
    assert copied.mean > truth.mean
    for system in ("truth", "drift", "stranger", "jitter"):
        low = difference("fm_ref", system, "copy-paste").low  # paired: a few photos are turned far from the reference
        assert low is not None
        assert low > 0, system


def test_a_vanishing_face_shows_and_does_not_pay(mean: Mean, difference: Pairs) -> None:
    assert mean("face_rate", "vanish").mean < 0.75
    assert mean("face_rate", "truth").mean > 0.95
    lost = difference("id_score", "truth", "vanish")
    assert lost.low is not None
    assert lost.low > 0.1


def test_a_tremor_is_the_roughest_motion(difference: Pairs) -> None:
    rougher = difference("motion_smoothness", "jitter", "truth")
    assert rougher.low is not None
    assert rougher.low > 0


def test_the_camera_fools_fm_inter_but_not_its_companion(mean: Mean, difference: Pairs) -> None:
    assert mean("fm_inter", "camera-only").mean > 5 * mean("fm_inter", "still").mean
    for companion in ("fm_inter_local", "fm_articulation"):
        less = difference(companion, "truth", "camera-only")
        assert less.low is not None
        assert less.low > 0, companion


def test_only_who_acts_has_articulation(mean: Mean, difference: Pairs) -> None:
    """Copied, frozen or filmed by a moving camera, a face has little; a tremor adds nothing to it."""
    assert mean("fm_articulation", "still").mean == 0
    assert mean("fm_articulation", "copy-paste").mean < 0.03
    assert mean("fm_articulation", "camera-only").mean < 0.06 < mean("fm_articulation", "truth").mean
    shaken = difference("fm_articulation", "jitter", "truth")
    assert abs(shaken.mean) < 0.03
