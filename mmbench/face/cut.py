"""Cutting a face out of a picture: turned to ArcFace's template by its five points, or the square around its box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmbench.face.geometry import Array
    from mmbench.video.clip import Frame

SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five points lie in the 112 px cut (x, y): image-left eye first (Deng et al. 2019)."""


def aligned(frame: Frame, points: Array, side: int = SIDE) -> NDArray[np.uint8]:
    """The face turned and scaled so that its five points lie nearest the template: (side, side, 3) uint8 RGB.

    The template is scaled to `side`. Bilinear; black where the cut reaches over the picture's border. Detectors' points
    are float32, and so is the fit, as insightface's: in float64 the matrix moves by 3e-5 and single pixels of a noisy
    picture by a grey level or more.
    """
    import cv2

    template = TEMPLATE.astype(np.float32) * np.float32(side / SIDE)
    matrix = similarity(points, template.astype(points.dtype))
    chip = cv2.warpAffine(frame, matrix, (side, side), borderValue=0.0)
    return np.asarray(chip, dtype=np.uint8)


def similarity(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The 2 x 3 rotation, scale and shift that takes `source` (N, 2) nearest `target` in least squares.

    Umeyama, PAMI 1991, equations 40-43. Never a reflection. Means and the decomposition are computed in the
    points' own precision. Raises ValueError when all source points coincide.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    variance = centred.var(axis=0).sum()
    if variance == 0:
        raise ValueError("all landmarks coincide: no similarity transform fits them")
    left, values, right = np.linalg.svd((target - target_mean).T @ centred / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(signs) @ right
    scale = 1.0 / variance * (values @ signs)
    return np.column_stack([scale * rotation, target_mean - scale * (rotation @ source_mean)])


def square_cut(picture: Frame, box: Array, size: int, margin: float) -> NDArray[np.uint8]:
    """The square around a box, `margin` times its larger side: (size, size, 3) uint8 RGB.

    White outside the picture, bicubic to `size`.
    """
    from PIL import Image

    left, top, right, bottom = (float(edge) for edge in box)
    side = max(1, round(margin * max(right - left, bottom - top)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    height, width = picture.shape[:2]
    square = np.full((side, side, 3), 255, dtype=np.uint8)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if x1 > x0 and y1 > y0:
        square[y0 - y : y1 - y, x0 - x : x1 - x] = picture[y0:y1, x0:x1]
    resized: NDArray[np.uint8] = np.array(Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC))
    return resized
