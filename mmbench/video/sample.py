"""Which frames to look at: index arithmetic, no pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def sample_indices(n_frames: int, count: int) -> Indices:
    """S_K of the face metrics: round(linspace(0, N-1, K)), (K,) int64; a short clip repeats frames.

    S_4 is every fifth of S_16, so faces found for the one serve the other.
    """
    _check_frames(n_frames)
    return np.round(np.linspace(0, n_frames - 1, count)).astype(np.int64)


def half_slot(n_frames: int, count: int) -> float:
    """Half the distance of two neighbouring samples of `sample_indices`, in frames."""
    _check_frames(n_frames)
    return (n_frames - 1) / (count - 1) / 2 if count > 1 else (n_frames - 1) / 2


def nearest_within(available: Indices, wanted: Indices, tolerance: float) -> Indices:
    """For each wanted frame the position in `available` (rising) of the nearest one, -1 beyond `tolerance` frames.

    Of two equally near frames the earlier one is taken.
    """
    if not len(available):
        return np.full(wanted.shape, -1, dtype=np.int64)
    after = np.searchsorted(available, wanted).clip(0, len(available) - 1)
    before = (after - 1).clip(0)
    first = np.abs(available[before] - wanted) <= np.abs(available[after] - wanted)
    nearest = np.where(first, before, after)
    return np.where(np.abs(available[nearest] - wanted) <= tolerance, nearest, -1).astype(np.int64)


def rate_stride(fps: float, target: float = 8.0) -> int:
    """VBench's step that brings a clip to about 8 fps: max(1, round(fps / 8)), half to even (12 fps gives 2)."""
    if not math.isfinite(fps):
        raise ValueError(f"fps must be finite, got {fps}")
    return max(1, round(fps / target))


def strided_indices(n_frames: int, fps: float, target: float = 8.0) -> Indices:
    """Frames 0, k, 2k... that VBench's dynamic degree keeps, k = `rate_stride(fps)`."""
    _check_frames(n_frames)
    return np.arange(0, n_frames, rate_stride(fps, target), dtype=np.int64)


def middle_indices(n_frames: int, count: int = 8) -> Indices:
    """VBench's "middle" sampling: the middle frame of `count` equal integer intervals, (count,) int64.

    A clip shorter than `count` gives each frame once and repeats the last: 5 frames -> 0 1 2 3 4 4 4 4.
    """
    _check_frames(n_frames)
    intervals = min(count, n_frames)
    edges = np.linspace(0, n_frames, intervals + 1).astype(np.int64)
    middle = (edges[:-1] + edges[1:] - 1) // 2
    return np.concatenate([middle, np.repeat(middle[-1:], count - intervals)])


def _check_frames(n_frames: int) -> None:
    if n_frames < 1:
        raise ValueError(f"a clip has at least one frame, got {n_frames}")
