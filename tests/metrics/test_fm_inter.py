"""FMinter against hand-made landmark tracks and the invariances it promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmbench.face.needs import FACES, REFERENCES
from mmbench.face.track import FaceTrack, ReferenceFaces
from mmbench.items import Item
from mmbench.metrics.base import Evidence
from mmbench.metrics.fm_inter import FMInter, align_similarity, fm_inter, fm_inter_rate
from mmbench.metrics.similarity_decay import SimilarityDecay
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo

FACE = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])
BOX = np.array([20.0, 20, 80, 100])


def turned(points: NDArray[np.float64], degrees: float, zoom: float, shift: tuple[float, float]) -> NDArray[np.float64]:
    a = np.deg2rad(degrees)
    return zoom * points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + shift


def test_one_moved_point_by_hand() -> None:
    moved = FACE.copy()
    moved[2] += [6, 8]  # 10 px
    pair = fm_inter(np.stack([FACE, moved, moved]), short_side=100)
    assert pair is not None
    assert pair.frame == pytest.approx(0.1)
    assert pair.face == pytest.approx(10 / 40)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, 4.0), (-30.0, 40.0)])
def test_fm_inter_of_a_translation_is_five_times_its_length(shift: tuple[float, float]) -> None:
    track = np.stack([FACE + k * np.array(shift) for k in range(4)])
    result = fm_inter(track, short_side=200)
    assert result is not None
    assert result.frame == pytest.approx(5 * np.hypot(*shift) / 200)
    assert result.local == pytest.approx(0, abs=1e-9)


@settings(max_examples=50)
@given(st.floats(-60, 60), st.floats(0.5, 2), st.floats(-50, 50), st.floats(-50, 50))
def test_camera_free_form_ignores_pan_zoom_and_roll(degrees: float, zoom: float, dx: float, dy: float) -> None:
    track = np.stack([FACE, turned(FACE, degrees, zoom, (dx, dy)), FACE])
    result = fm_inter(track, short_side=200)
    assert result is not None
    assert result.local == pytest.approx(0, abs=1e-6)


@settings(max_examples=50)
@given(*[st.floats(-0.4, 0.4)] * 4, st.floats(-50, 50))
def test_affine_free_form_ignores_every_squeeze_and_shear(a: float, b: float, c: float, d: float, shift: float) -> None:
    bent = FACE @ (np.eye(2) + np.array([[a, b], [c, d]])) + shift
    result = fm_inter(np.stack([FACE, bent, FACE]), short_side=200)
    assert result is not None
    assert result.affine_free == pytest.approx(0, abs=1e-6 / max(0.01, abs((1 + a) * (1 + d) - b * c)))


def test_a_squeezed_photograph_beats_a_nod_camera_free_but_not_affine_free() -> None:
    squeezed = (FACE - 50) * [0.6, 1.0] + 50
    nod = FACE.copy()
    nod[2, 1] += 5  # the nose moves against the rest
    photograph, honest = (fm_inter(np.stack([FACE, late, FACE]), short_side=200) for late in (squeezed, nod))
    assert photograph is not None and honest is not None
    assert photograph.local > honest.local
    assert honest.affine_free > 0.01 > photograph.affine_free


def test_camera_free_form_still_sees_a_turning_head() -> None:
    profile = FACE.copy()
    profile[:, 0] = 50 + 0.6 * (profile[:, 0] - 50)  # yaw narrows the face
    profile[2, 0] += 12  # and moves the nose
    result = fm_inter(np.stack([FACE, profile, FACE]), short_side=200)
    assert result is not None
    assert result.local > 0.3


def test_still_face_has_no_motion() -> None:
    result = fm_inter(np.repeat(FACE[None], 4, axis=0), short_side=100)
    assert result is not None
    assert (result.frame, result.face) == (0, 0)
    rate = fm_inter_rate(np.repeat(FACE[None], 24, axis=0), 100, 8)
    assert rate is not None
    assert (rate.rate, rate.floor) == (0, 0)


def test_a_pair_needs_both_ends_and_two_pairs_are_needed() -> None:
    track = np.repeat(FACE[None], 4, axis=0)
    track[1] = np.nan
    assert fm_inter(track, short_side=100) is None
    track[1] = FACE
    track[3] = np.nan
    result = fm_inter(track, short_side=100)
    assert result is not None
    assert result.pairs == 2


def test_largest_pair_counts() -> None:
    track = np.stack([FACE, FACE + [1, 0], FACE + [11, 0], FACE + [12, 0]])
    result = fm_inter(track, short_side=100)
    assert result is not None
    assert result.frame == pytest.approx(0.5)


def test_rate_is_per_eighth_of_a_second() -> None:
    track = np.stack([FACE + [k, 0] for k in range(24)])
    for fps in (8.0, 16.0, 24.0):
        rate = fm_inter_rate(track, 100, fps)
        assert rate is not None
        assert rate.rate == pytest.approx(5 / 100 * fps / 8)
        assert rate.floor == pytest.approx(0, abs=1e-12)


def test_noise_alone_stays_at_its_floor() -> None:
    """Independent landmark noise must be recognised as such: the rate lies below the stated floor."""
    noise = np.random.default_rng(0).normal(0, 0.5, (200, 5, 2))
    rate = fm_inter_rate(FACE + noise, 256, 8)
    assert rate is not None
    radial = 0.5 * np.sqrt(2)
    assert rate.floor == pytest.approx(1.8 * radial * 5 / 256, rel=0.05)
    assert rate.rate < rate.floor


def test_alignment_is_exact_for_similarities_only() -> None:
    moved = turned(FACE, 25, 1.7, (5, -9))
    assert align_similarity(moved, FACE) == pytest.approx(FACE)
    sheared = FACE * [1.0, 0.7]
    assert not np.allclose(align_similarity(sheared, FACE), FACE, atol=1.0)


def test_one_frame_has_no_motion_and_no_decay() -> None:
    """Sixteen slots all show the one frame: everything over pairs is missing, with that reason, and not 0."""
    one, slots = np.zeros((1, 4), np.float32), np.zeros(16, np.int64)
    maker, yes = Provenance("dlib"), np.ones(1, bool)
    vectors = np.repeat(np.random.default_rng(0).normal(size=(1, 128)), 16, axis=0).astype(np.float32)
    track = FaceTrack(
        *(1, 100, 100, 8.0, slots[:1], yes, ~yes, ~yes, one, BOX[None].astype(np.float32), one[:, 0]),
        *(FACE[None].astype(np.float32), None, slots, slots, vectors, maker, maker),
    )
    references = ReferenceFaces((Path("a.png"),), vectors[:1], FACE[None], BOX[None], BOX[None], None, maker)
    clip = ClipInfo(Path("a.mp4"), 1, 100, 100, 8.0, "manifest", 8.0, False, "0" * 64)
    evidence = Evidence(Item("m/a", "m", "a", Path("a.mp4")), clip, {FACES: track, REFERENCES: references})
    for metric in (FMInter(), SimilarityDecay()):
        scores = metric.measure(evidence)
        assert [score.metric for score in scores] == [facts.name for facts in metric.all_facts()]
        for score in scores:
            assert score.status == "missing" and "one frame" in score.reason, score
