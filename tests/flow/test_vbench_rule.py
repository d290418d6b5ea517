from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbench.flow import vbench_rule as rule
from mmbench.video.sample import rate_stride, strided_indices


def half_even(value: Fraction) -> int:
    """Round half to even with exact fractions: an independent reading of Python's round()."""
    floor = value.numerator // value.denominator
    rest = value - floor
    if rest != Fraction(1, 2):
        return floor + (rest > Fraction(1, 2))
    return floor + floor % 2


def test_indices_thresholds_and_counts_for_every_length_and_rate():
    for fps in range(1, 121):
        interval = rate_stride(fps)
        assert interval == max(1, half_even(Fraction(fps, 8)))
        for n_frames in range(1, 401):
            indices = strided_indices(n_frames, fps)
            assert indices[0] == 0 and len(indices) == -(-n_frames // interval)
            assert indices[-1] == (len(indices) - 1) * interval < n_frames
    for n in range(1, 401):
        assert rule.count_needed(n) == half_even(Fraction(4 * n, 16))


@given(st.floats(0.1, 240), st.integers(1, 400))
def test_fractional_rates_keep_about_eight_frames_a_second(fps, n_frames):
    interval = rate_stride(fps)
    assert abs(interval - fps / 8) <= 0.5 or interval == 1
    assert len(strided_indices(n_frames, fps)) == math.ceil(n_frames / interval)


@pytest.mark.parametrize(
    ("frames", "fps", "height", "width", "interval", "n", "count", "threshold"),
    [
        (49, 8, 480, 720, 1, 49, 12, 11.25),
        (49, 16, 480, 720, 2, 25, 6, 11.25),
        (49, 24, 480, 720, 3, 17, 4, 11.25),
        (81, 16, 480, 832, 2, 41, 10, 11.25),
        (16, 8, 512, 512, 1, 16, 4, 12.0),
        (16, 10, 320, 512, 1, 16, 4, 7.5),
        (48, 12, 256, 256, 2, 24, 6, 6.0),
    ],
)
def test_known_clips(frames, fps, height, width, interval, n, count, threshold):
    assert rate_stride(fps) == interval
    assert len(strided_indices(frames, fps)) == n
    assert rule.count_needed(n) == count
    assert rule.pair_threshold(height, width) == threshold


def test_unreadable_rates():
    assert rate_stride(0.0) == 1
    for fps in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            rate_stride(fps)


def test_one_frame_is_never_dynamic_and_two_always_are():
    assert not rule.is_dynamic(0, 0, rule.count_needed(1))
    assert rule.is_dynamic(0, 1, rule.count_needed(2))
    assert not rule.is_dynamic(0, 2, rule.count_needed(3))
    assert rule.is_dynamic(1, 2, rule.count_needed(3))


@given(st.integers(1, 300), st.integers(1, 300))
def test_padding_reaches_multiples_of_eight_and_leans_right_and_down(height, width):
    left, right, top, bottom = rule.pad_amounts(height, width)
    assert (height + top + bottom) % 8 == 0
    assert (width + left + right) % 8 == 0
    assert 0 <= right - left <= 1 and 0 <= bottom - top <= 1
    assert left + right < 8 and top + bottom < 8


def test_pair_score_is_numpys_float32_mean_of_the_longest_vectors():
    flow = np.random.default_rng(0).normal(0, 9, (2, 64, 96)).astype(np.float32)
    lengths = np.sqrt(np.square(flow[0]) + np.square(flow[1])).flatten()
    expected = np.mean(np.abs(np.sort(-lengths))[: int(64 * 96 * 0.05)])
    assert rule.pair_score(torch.from_numpy(flow)) == float(expected)


def test_pair_score_of_a_uniform_field_is_its_length():
    flow = torch.tensor([3.0, 4.0])[:, None, None].expand(2, 40, 40)
    assert rule.pair_score(flow) == 5.0
