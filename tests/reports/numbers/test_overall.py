"""Overall verdicts: what they read, what they ignore, and that nobody else can move them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.metrics.base import MetricFacts
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.numbers.overall import GuardedColumn, Overall, Verdicts, guards_named, overall
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.table.tables import build_table
from mmbench.scores import Score

PEOPLE = 24


@pytest.fixture(scope="module")
def real() -> dict[str, MetricFacts]:
    return facts_by_name()


def model(make_row: Any, name: str, seed: int, **means: float | None) -> list[Any]:
    """Clips of one model: guarded columns about these means, each with a spread of its own; None is missing."""
    rng = np.random.default_rng(seed)
    spread = {"id_margin": 0.01, "fm_articulation": 0.03, "motion_smoothness": 0.03, "face_rate": 0.0}
    rows = []
    for person in range(PEOPLE):
        values = {
            metric: Score.missing(metric, "no face")
            if mean is None
            else Score.ok(metric, max(0.0, mean + spread[metric] * float(rng.normal())))
            for metric, mean in means.items()
        }
        rows.append(make_row(name, f"p{person}", **values))
    return rows


HONEST = {"id_margin": 0.087, "face_rate": 1.0, "fm_articulation": 0.15, "motion_smoothness": 0.27}
CONTROLS: dict[str, tuple[dict[str, float | None], str]] = {
    "still": ({"fm_articulation": 0.0, "motion_smoothness": 0.0}, "Articulation"),
    "copy-paste": ({"id_margin": 0.10, "fm_articulation": 0.01, "motion_smoothness": 0.14}, "Articulation"),
    "camera-only": ({"id_margin": 0.09, "fm_articulation": 0.03, "motion_smoothness": 0.24}, "Articulation"),
    "jitter": ({"fm_articulation": 0.14, "motion_smoothness": 0.79}, "Motion smoothness"),
    "drift": ({"id_margin": 0.055}, "ID margin"),
    "stranger": ({"id_margin": 0.013}, "ID margin"),
    "vanish": ({"face_rate": 0.44, "fm_articulation": None, "motion_smoothness": 0.62}, "Face rate"),
}


def test_cheats_stand_below_the_honest_model_with_the_column_that_says_why(make_row: Any, real: Any) -> None:
    rows = model(make_row, "truth", 0, **HONEST)
    for seed, (name, (changed, _)) in enumerate(CONTROLS.items(), 1):
        rows += model(make_row, name, seed, **{**HONEST, **changed})
    verdicts = overall(take_samples(rows), real)
    lost = {pair.loser: pair.columns for pair in verdicts.better_than("truth")}
    assert set(lost) == set(CONTROLS)
    for name, (_, why) in CONTROLS.items():
        assert why in lost[name], name
    table = build_table(take_samples(rows), real)
    assert table.rows[0].model == "truth"


def test_more_than_enough_earns_nothing(make_row: Any, real: Any) -> None:
    """A higher margin, more motion and more smoothness than a good clip needs decide nothing."""
    rows = model(make_row, "good", 0, **HONEST)
    rows += model(make_row, "more", 0, id_margin=0.2, face_rate=1.0, fm_articulation=0.9, motion_smoothness=0.1)
    (pair,) = overall(take_samples(rows), real).pairs
    assert (pair.winner, pair.columns, pair.against) == (None, (), ())


def test_a_column_that_nearly_everybody_fills_still_decides(make_row: Any, real: Any) -> None:
    """Resamples of values that are `enough` but for one or two have hardly an error of their own."""
    rows = []
    for person in range(PEOPLE):
        for name, value in (("acts", 0.04 if person == 3 else 0.15), ("still", 0.0)):
            rows.append(make_row(name, f"p{person}", fm_articulation=Score.ok("fm_articulation", value)))
    (pair,) = overall(take_samples(rows), real).pairs
    assert (pair.winner, pair.columns) == ("acts", ("Articulation",))


def test_each_better_in_something_is_not_decided(make_row: Any, real: Any) -> None:
    rows = model(make_row, "alike", 0, **{**HONEST, "fm_articulation": 0.02})
    rows += model(make_row, "lively", 1, **{**HONEST, "id_margin": 0.02})
    (pair,) = overall(take_samples(rows), real).pairs
    assert pair.winner is None
    assert (pair.columns, pair.against) == (("ID margin",), ("Articulation",))


def test_nobody_wins_by_failing(make_row: Any, real: Any) -> None:
    """A model whose face motion could not be measured is not better than one that has it."""
    rows = model(make_row, "fails", 0, **{**HONEST, "fm_articulation": None})
    rows += model(make_row, "honest", 1, **{**HONEST, "id_margin": 0.03})
    (pair,) = overall(take_samples(rows), real).pairs
    assert pair.winner is None


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.03, 0.055, 0.09]),
            st.sampled_from([0.0, 0.05, 0.15]),
            st.sampled_from([0.2, 0.6, 0.8]),
            st.integers(0, 99),
        ),
        min_size=2,
        max_size=4,
    ),
    st.integers(0, 3),
    st.text("ab~", min_size=1, max_size=3),
)
def test_a_clone_of_a_model_reorders_nobody(
    make_row: Any, real: Any, drawn: list[tuple[float, float, float, int]], which: int, name: str
) -> None:
    rows, means = [], {}
    for index, (margin, local, smooth, seed) in enumerate(drawn):
        means[index] = {"id_margin": margin, "face_rate": 1.0, "fm_articulation": local, "motion_smoothness": smooth}
        rows += model(make_row, f"m{index}", seed, **means[index])
    copied = which % len(drawn)
    clone = model(make_row, f"clone {name}", drawn[copied][3], **means[copied])
    before, after = (build_table(take_samples(found), real) for found in (rows, [*rows, *clone]))
    order = [row.model for row in before.rows]
    assert [row.model for row in after.rows if row.model in order] == order
    pairs = {(pair.a, pair.b): pair for pair in after.verdicts.pairs}
    assert all(pairs[pair.a, pair.b] == pair for pair in before.verdicts.pairs)
    for pair in pairs.values():
        if f"clone {name}" in (pair.a, pair.b) and f"m{copied}" in (pair.a, pair.b):
            assert pair.winner is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14), st.integers(0, 6))
def test_order_respects_verdicts_outside_circles_and_ignores_clones(won: list[tuple[int, int]], copied: int) -> None:
    """Whatever tests decide, circles among them."""
    decided = {(min(pair), max(pair)): pair for pair in won if pair[0] != pair[1]}
    models = tuple(f"m{index}" for index in range(7))
    pairs = tuple(Overall(f"m{a}", f"m{b}", f"m{winner}") for (a, b), (winner, _) in decided.items())
    depth = Verdicts(models, pairs).depth
    above = Verdicts(models, pairs)._above()
    for pair in pairs:
        if str(pair.winner) not in above or str(pair.loser) not in above[str(pair.winner)]:
            assert depth[str(pair.winner)] < depth[str(pair.loser)]
    original = f"m{copied}"
    mirrored = tuple(
        Overall(*("clone" if side == original else side for side in (pair.a, pair.b, str(pair.winner))))
        for pair in pairs
        if original in (pair.a, pair.b)
    )
    grown = Verdicts((*models, "clone"), (*pairs, *mirrored)).depth
    assert {name: grown[name] for name in models} == depth
    assert grown["clone"] == depth[original]


def test_guards_are_a_setting_and_the_unmeasured_are_named(make_row: Any, real: Any) -> None:
    rows = model(make_row, "a", 0, id_margin=0.09) + model(make_row, "b", 1, id_margin=0.01)
    found = overall(take_samples(rows), real)
    assert found.guards == ("ID margin",)
    assert set(found.unmeasured) >= {"Face rate", "Articulation", "Motion smoothness"}
    assert guards_named(()) == guards_named([guard.metric for guard in guards_named(())])
    assert guards_named(["fm_ref"]) == (GuardedColumn("fm_ref"),)
    assert overall(take_samples(rows), real, guards_named(["fm_ref"])).pairs == ()
