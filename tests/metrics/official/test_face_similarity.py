from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.config import EvaluateSettings
from mmbench.face.official.cuts import COUNTS, frames_of
from mmbench.metrics.official.face_similarity import facesim, feature_distance
from mmbench.metrics.registry import OFFICIAL, facts_by_name, metric_class, metric_names
from mmbench.runs.memory.scorer import Scorer

AXIS = np.eye(4)


def test_a_run_has_them_only_where_they_are_named() -> None:
    assert not set(OFFICIAL) & set(metric_names())
    assert set(OFFICIAL) <= set(facts_by_name())
    for name in OFFICIAL:
        for facts in metric_class(name).all_facts():
            assert not facts.in_default_table
            assert facts.source == "mmbench" or facts.source.split()[0].rstrip(",") in (
                "ConsisID",
                "OpenS2V-Nexus",
                "VBench-2.0",
            )
        assert metric_class(name).facts.caveats, "what is wrong in the protocol is said"


def test_frames_without_a_face_are_left_out_and_strangers_are_0() -> None:
    rows = np.stack([3 * AXIS[0], -AXIS[0], np.full(4, np.nan), AXIS[0] + AXIS[1]])
    result = facesim(rows, 2 * AXIS[0])
    assert result.value == pytest.approx((1 + 0 + np.sqrt(0.5)) / 3)
    assert (result.counted, result.frames) == (3, 4)
    dropped = facesim(rows, 2 * AXIS[0], drop_zeros=True)
    assert dropped.value == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert dropped.counted == 2


def test_a_clip_without_any_face_is_0() -> None:
    nothing = np.full((3, 1), np.nan)
    assert facesim(nothing, AXIS[0]).value == feature_distance(nothing, AXIS[0]).value == 0.0
    assert facesim(nothing, AXIS[0]).counted == 0
    with pytest.raises(ValueError, match="direction"):
        facesim(AXIS, np.zeros(4))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_distance_is_the_scripts_frechet_distance(seed: int, frames: int) -> None:
    """Of two sets that hold one picture twice each: covariances are 0, written out as the script does it."""
    rng = np.random.default_rng(seed)
    rows, reference = rng.normal(size=(frames, 5)), rng.normal(size=5)

    def frechet(one: np.ndarray, other: np.ndarray) -> float:
        first, second = (np.repeat(row[None], 2, axis=0) for row in (one, other))
        spread = np.cov(first.T) + np.cov(second.T)
        return float(((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(spread))

    expected = np.mean([frechet(row, reference) for row in rows])
    assert feature_distance(rows, reference).value == pytest.approx(expected)


@pytest.mark.parametrize("protocol", COUNTS)
@given(n_frames=st.integers(1, 400))
def test_frames_are_the_scripts(protocol: str, n_frames: int) -> None:
    frames = frames_of(protocol, n_frames)
    assert len(frames) == COUNTS[protocol]
    assert frames[0] == 0 and frames[-1] == n_frames - 1
    assert (np.diff(frames) >= 0).all()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    large = np.kron(coarse, np.ones((24, 24, 1), np.uint8))
    return np.stack([np.roll(large, 3 * shift, axis=1) for shift in range(20)])


def test_tiny_networks_and_one_look_at_the_clip(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.face.official import cuts

    looks: list[int] = []
    original = cuts.cut_face
    monkeypatch.setattr(cuts, "cut_face", lambda *given: looks.append(1) or original(*given))
    names = ("facesim_arc", "facesim_cur", "face_feature_distance")
    scorer = Scorer(names, EvaluateSettings(random_weights=True))
    found = scorer(pictures, references=[Image.fromarray(pictures[0])], fps=8)
    wanted = set(np.concatenate([frames_of(protocol, len(pictures)) for protocol in COUNTS]).tolist())
    assert len(looks) == len(wanted), "three networks share one detection of every frame"
    for score in found.values():
        assert score.status == "ok" and score.provenance is not None and score.provenance.random_weights
    for name in ("facesim_arc", "facesim_cur"):
        assert 0 < found[name].value <= 1
        assert found[f"{name}_opens2v"].details["frames"] == 32
    still = np.repeat(pictures[:1], 5, axis=0)
    of_copy = scorer(still, references=[Image.fromarray(pictures[0])], fps=8)
    assert of_copy["facesim_cur"].value == pytest.approx(1.0, abs=1e-5)
    assert of_copy["facesim_arc"].value == pytest.approx(1.0, abs=1e-5)
    assert of_copy["face_feature_distance"].value == pytest.approx(0.0, abs=1e-8)


def test_missing_weights_are_told_with_the_command_that_gets_them(pictures: np.ndarray) -> None:
    found = Scorer(tuple(OFFICIAL))(pictures[:3], references=[Image.fromarray(pictures[0])], prompt="a man", fps=8)
    assert "mmbench weights get facesim" in found["facesim_cur"].remedy
    for name in ("facesim_arc", "facesim_cur", "face_feature_distance", "clip_score", "aesthetic", "human_identity"):
        assert found[name].status == "missing" and "mmbench weights get" in found[name].remedy
    assert found["motion_amplitude"].status == "ok", "it needs no weights"


def test_no_reference_is_missing_not_0(pictures: np.ndarray) -> None:
    found = Scorer(("facesim_arc",), EvaluateSettings(random_weights=True))(pictures[:3], fps=8)
    assert {score.status for score in found.values()} == {"missing"}
    assert "reference" in found["facesim_arc"].reason
