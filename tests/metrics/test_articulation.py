"""Articulation: flat pictures have none however they move, trembling cancels, and a face's own movement stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmbench.metrics.articulation import MIN_PAIRS, articulation

FACE = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])
FRAMES = 24


def nodding(reach: float, frames: int = FRAMES, fps: float = 8.0) -> NDArray[np.float64]:
    """A nose that swings by `reach` px once in 3 s: five points cannot do that on a plane."""
    track = np.repeat(FACE[None], frames, axis=0)
    track[:, 2, 1] += reach * np.sin(2 * np.pi * np.arange(frames) / fps / 3)
    return track


def moved_flat(track: NDArray[np.float64], seed: int, most: float) -> NDArray[np.float64]:
    """Every frame under an affine map of its own, up to `most` away from none, and shifted."""
    rng = np.random.default_rng(seed)
    maps = np.eye(2) + rng.uniform(-most, most, (len(track), 2, 2))
    return np.asarray((track - 55) @ maps + rng.uniform(-40, 40, (len(track), 1, 2)))


def value(points: NDArray[np.float64], fps: float = 8.0) -> float:
    found = articulation(points, fps)
    assert found is not None
    return found


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 0.3))
def test_a_flat_picture_has_none_however_it_is_moved(seed: int, most: float) -> None:
    assert value(moved_flat(np.repeat(FACE[None], FRAMES, axis=0), seed, most)) == pytest.approx(0, abs=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(1, 8))
def test_what_a_face_does_stays_under_a_moving_camera(seed: int, reach: float) -> None:
    """Turned, zoomed, shifted alike: the value is that of the camera at rest, but for the shape that frames share."""
    rng = np.random.default_rng(seed)
    turns = rng.uniform(-0.5, 0.5, FRAMES) * 1j + rng.uniform(-0.4, 0.4, FRAMES)
    flat = (nodding(reach) - 55) @ np.array([1.0, 1.0j]) * np.exp(turns)[:, None] + rng.uniform(-40, 40, (FRAMES, 1))
    seen = np.stack([flat.real, flat.imag], axis=-1)
    assert value(seen) == pytest.approx(value(nodding(reach)), rel=1e-6)


def test_it_grows_with_the_movement_and_not_with_the_picture() -> None:
    small, large = value(nodding(2)), value(nodding(4))
    assert large == pytest.approx(2 * small, rel=0.05)
    assert value(3 * nodding(4)) == pytest.approx(large)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_trembling_cancels(noise: float) -> None:
    """Alone it leaves less than a third of its own size; a movement is measured through it."""
    rng = np.random.default_rng(3)
    trembling = rng.normal(0, noise, (20, FRAMES, 5, 2))
    left = [value(FACE + each) for each in trembling]
    own = 5 * noise * np.sqrt(2) / 40
    assert np.mean(left) < own / 3
    through = [value(nodding(6) + each) for each in trembling]
    assert np.mean(through) == pytest.approx(value(nodding(6)), rel=0.1)


@pytest.mark.parametrize("fps", [8.0, 16.0, 24.0, 30.0])
def test_the_same_movement_at_any_rate(fps: float) -> None:
    assert value(nodding(5, round(3 * fps), fps), fps) == pytest.approx(value(nodding(5)), rel=0.06)


def test_frames_without_a_face_are_left_out_and_too_few_have_no_value() -> None:
    track = nodding(5, 48)
    whole = value(track)
    track[[3, 11, 30]] = np.nan
    assert value(track) == pytest.approx(whole, rel=0.1)
    assert articulation(track[: MIN_PAIRS - 1], 8.0) is None
    track[::2] = np.nan
    assert articulation(track, 8.0) is None, "no two frames in a row"
