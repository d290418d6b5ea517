"""How much a face changes its shape: what no movement of a flat picture explains, and no trembling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmbench.metrics.base import Floats

LAG = 1 / 8
"""Seconds between the two frames whose deviations are multiplied: the native step of the models measured."""

MIN_PAIRS = 4
"""Pairs of frames that far apart, both with a face, that a clip needs."""


def articulation(points: Floats, fps: float) -> float | None:
    """Root mean square change of a face's shape, summed over five points, in inter-ocular distances.

    points: (N, 5, 2) px of every frame, NaN where the face is missing. Each frame is carried onto the clip's mean shape
    by the best affine map, which takes away whatever a camera, or a photograph moved, zoomed, turned, squeezed or
    sheared, does to five points; what is left over, less its mean, are the deviations. A face that talks or turns its
    head deviates alike in two neighbouring frames, a detector's trembling does not: the mean product of deviations
    `LAG` seconds apart (one frame at least) keeps the first and not the second. Below 0, which chance gives about half
    of all faces at rest, it counts as 0. None with fewer than `MIN_PAIRS` such pairs. Ours; no paper defines it.
    """
    every = np.asarray(points, np.float64)
    there = np.asarray(np.isfinite(every).all(axis=(-1, -2)))
    lag = max(1, round(LAG * fps))
    if (there[lag:] & there[:-lag]).sum() < MIN_PAIRS:
        return None
    shape = mean_shape(every[there])
    deviations = np.full_like(every, np.nan)
    deviations[there] = onto(every[there], shape) - shape
    deviations -= np.nanmean(deviations, axis=0)
    products = (deviations[lag:] * deviations[:-lag]).sum(axis=-1)  # (N - lag, 5), NaN where an end is missing
    eyes = float(np.linalg.norm(shape[1] - shape[0]))
    return 5 * float(np.sqrt(max(0.0, float(np.nanmean(products))))) / eyes if eyes > 0 else None


def mean_shape(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 5, 2) px -> the mean (5, 2) of the faces moved, rotated and zoomed onto the first one."""
    flat = faces @ np.array([1.0, 1.0j])
    centred = flat - flat.mean(axis=1, keepdims=True)
    turns = centred.conj() @ centred[0] / np.maximum((np.abs(centred) ** 2).sum(axis=1), 1e-12)
    moved = (turns[:, None] * centred).mean(axis=0)
    return np.stack([moved.real, moved.imag], axis=-1)


def onto(faces: NDArray[np.float64], shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 5, 2) px, each carried onto `shape` (5, 2), centred, by the best affine map (least squares)."""
    centred = faces - faces.mean(axis=1, keepdims=True)
    moved: NDArray[np.float64] = centred @ (np.linalg.pinv(centred) @ shape)
    return moved
