from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.video.sample import (
    half_slot,
    middle_indices,
    nearest_within,
    rate_stride,
    sample_indices,
    strided_indices,
)


@pytest.mark.parametrize(
    ("n_frames", "expected"),
    [
        (49, [2, 8, 14, 20, 26, 32, 38, 45]),
        (48, [2, 8, 14, 20, 26, 32, 38, 44]),
        (16, [0, 2, 4, 6, 8, 10, 12, 14]),
        (81, [4, 14, 24, 34, 44, 54, 64, 75]),
        (5, [0, 1, 2, 3, 4, 4, 4, 4]),
        (1, [0] * 8),
    ],
)
def test_middle_frames_as_vbench_takes_them(n_frames, expected):
    assert middle_indices(n_frames).tolist() == expected


@given(st.integers(1, 5000), st.integers(1, 40))
def test_samples_lie_in_the_clip_and_rise(n_frames, count):
    indices = sample_indices(n_frames, count)
    assert len(indices) == count
    assert indices[0] == 0
    assert indices[-1] == (n_frames - 1 if count > 1 else 0)
    assert (np.diff(indices) >= 0).all()
    exact = [Decimal(n_frames - 1) * i / max(count - 1, 1) for i in range(count)]
    assert all(abs(int(index) - value) <= Decimal("0.5000001") for index, value in zip(indices, exact, strict=True))


@given(st.integers(1, 5000))
def test_four_samples_are_every_fifth_of_sixteen(n_frames):
    assert np.array_equal(sample_indices(n_frames, 4), sample_indices(n_frames, 16)[::5])


@given(st.integers(1, 2000), st.integers(1, 40))
def test_middle_frames_are_in_the_clip_and_rise(n_frames, count):
    indices = middle_indices(n_frames, count)
    assert len(indices) == count
    assert 0 <= indices.min() <= indices.max() < n_frames
    assert (np.diff(indices) >= 0).all()


@given(st.integers(1, 400), st.integers(1, 120))
def test_stride_is_rounded_half_to_even(n_frames, fps):
    rounded = int((Decimal(fps) / 8).quantize(Decimal(1), ROUND_HALF_EVEN))
    step = max(1, rounded)
    assert rate_stride(fps) == step
    assert strided_indices(n_frames, fps).tolist() == list(range(0, n_frames, step))


@pytest.mark.parametrize(("fps", "step"), [(8, 1), (12, 2), (16, 2), (20, 2), (24, 3), (28, 4), (36, 4), (0, 1)])
def test_stride_table(fps, step):
    assert rate_stride(fps) == step


def test_rate_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        rate_stride(math.nan)


@given(
    st.lists(st.integers(0, 200), max_size=20, unique=True).map(sorted),
    st.lists(st.integers(0, 200), min_size=1, max_size=10),
    st.floats(0, 30),
)
def test_nearest_within_is_the_brute_force_answer(available, wanted, tolerance):
    found = nearest_within(np.array(available, np.int64), np.array(wanted, np.int64), tolerance)
    for target, place in zip(wanted, found, strict=True):
        best = min(available, key=lambda frame: (abs(frame - target), frame), default=None)
        if best is None or abs(best - target) > tolerance:
            assert place == -1
        else:
            assert available[place] == best


def test_half_slot():
    assert half_slot(49, 16) == pytest.approx(1.6)
    assert half_slot(1, 16) == 0


@pytest.mark.parametrize("function", [lambda: sample_indices(0, 4), lambda: middle_indices(0)])
def test_a_clip_without_frames_is_a_mistake(function):
    with pytest.raises(ValueError, match="at least one frame"):
        function()
