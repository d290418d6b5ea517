"""What is done to frames before they are measured."""

from __future__ import annotations

import numpy as np
import pytest

from mmbench.studies.validity.experiments.cadence import held
from mmbench.studies.validity.experiments.detection import blur, shrink
from mmbench.studies.validity.experiments.sensitivity import compress, resize
from mmbench.studies.validity.lab import clip_info, every
from mmbench.studies.validity.levels import FULL, QUICK
from mmbench.studies.validity.shots import Shot


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Six frames of a bright square that moves over a ramp, (6, 64, 64, 3)."""
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 2, (6, 64, 64, 3)).copy()
    for k in range(6):
        ramp[k, 20:40, 10 + 4 * k : 30 + 4 * k] = 220
    return ramp


def test_shrinking_keeps_the_frame_and_the_picture_in_its_middle(frames: np.ndarray) -> None:
    small = shrink(frames, 0.5)
    assert small.shape == frames.shape and small.dtype == np.uint8
    assert np.array_equal(small[:, 16:48, 16:48], resize(frames, 32))
    assert np.array_equal(small[:, 0], small[:, 16])  # the border continues


def test_blur_lowers_contrast_and_zero_leaves_the_frames(frames: np.ndarray) -> None:
    assert np.array_equal(blur(frames, 0.0), frames)
    contrast = [float(blur(frames, sigma)[0].astype(float).std()) for sigma in (0.0, 2.0, 6.0)]
    assert contrast == sorted(contrast, reverse=True)


def test_compression_returns_as_many_frames_and_loses_more_at_higher_crf(frames: np.ndarray) -> None:
    lost = []
    for crf in (18, 45):
        back = compress(frames, crf, 8.0)
        assert back.shape == frames.shape
        lost.append(np.abs(back.astype(int) - frames).mean())
    assert lost[0] < lost[1]


@pytest.mark.parametrize("period", [0, 2, 3, 6])
def test_holding_keeps_the_length_and_only_repeats(frames: np.ndarray, period: int) -> None:
    indices = held(6, period)
    assert len(indices) == 6 and all(k - i in (0, 1) for k, i in enumerate(indices))
    assert sum(k != i for k, i in enumerate(indices)) == (6 // period if period else 0)
    assert every(frames, indices).shape == frames.shape


def test_the_digest_of_a_clip_is_of_its_pixels_and_shape(frames: np.ndarray) -> None:
    assert clip_info(frames).sha256 == clip_info(frames.copy()).sha256
    assert len({clip_info(f).sha256 for f in (frames, frames[:5], frames[::-1], frames.reshape(6, 32, 128, 3))}) == 4


def test_shots_have_distinct_names_and_quick_levels_are_few() -> None:
    names = {Shot("a", "yaw", level, 4).name for level in FULL.yaws} | {Shot("a", "drift", 1.0, 12).name}
    assert len(names) == len(FULL.yaws) + 1
    for field in ("people", "fractions", "yaws", "amplitudes", "crfs"):
        assert set(getattr(QUICK, field)) <= set(getattr(FULL, field)) or field == "people"
        assert len(getattr(QUICK, field)) < len(getattr(FULL, field))
