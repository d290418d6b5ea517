"""Boxes and landmarks as plain arrays: pure functions, no networks. Boxes are (left, top, right, bottom)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""Boxes or points, float32 or float64."""

EYE_LEFT, EYE_RIGHT, NOSE, MOUTH_LEFT, MOUTH_RIGHT = range(5)
"""Rows of the five points; left and right as seen in the image."""


def five_from_68(points: Array) -> NDArray[np.float32]:
    """iBUG points (..., 68, 2) -> (..., 5, 2): eye centres (mean of 36-41, 42-47), nose tip 30, mouth corners 48, 54.

    dlib's own five-point model cannot serve: it has two corners an eye and the nose's base, but no mouth.
    """
    parts = (
        points[..., 36:42, :].mean(axis=-2),
        points[..., 42:48, :].mean(axis=-2),
        points[..., 30, :],
        points[..., 48, :],
        points[..., 54, :],
    )
    return np.stack(parts, axis=-2).astype(np.float32)


def enclosing_box(points: Array) -> NDArray[np.float32]:
    """The smallest box around points (..., n, 2): (..., 4) float32."""
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1).astype(np.float32)


def inter_ocular(points: Array) -> NDArray[np.float64]:
    """Distance between the eyes of five points (..., 5, 2), in the points' unit: (...)."""
    across = points[..., EYE_LEFT, :].astype(np.float64) - points[..., EYE_RIGHT, :]
    distance: NDArray[np.float64] = np.linalg.norm(across, axis=-1)
    return distance


def in_box(points: Array, box: Array) -> NDArray[np.float64]:
    """Points (..., n, 2) in coordinates of their box (..., 4): 0 at left and top, 1 at right and bottom."""
    corner = box[..., None, :2].astype(np.float64)
    return (points - corner) / (box[..., None, 2:] - corner)


def width(box: Array) -> NDArray[np.float64]:
    """Horizontal extent of boxes (..., 4)."""
    return box[..., 2].astype(np.float64) - box[..., 0]


def area(box: Array) -> NDArray[np.float64]:
    """Area of boxes (..., 4); 0 for an inverted one."""
    sides = (box[..., 2:].astype(np.float64) - box[..., :2]).clip(min=0)
    product: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return product


def iou(first: Array, second: Array) -> NDArray[np.float64]:
    """Intersection over union of every pair: (n, 4) and (m, 4) -> (n, m) in [0, 1]; 0 for two empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = area(np.concatenate([low, high], axis=-1))
    union = area(first)[:, None] + area(second)[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def largest(boxes: Sequence[Array]) -> int:
    """Position of the box with the largest area; the first of equal ones."""
    return int(np.argmax([area(box) for box in boxes]))
