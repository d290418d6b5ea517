"""ArcFace (Deng et al., CVPR 2019): align a face by its five points, embed the cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmbench.video.clip import Frame

SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five points lie in the 112 px cut (x, y): image-left eye first."""
EMBEDDING_SIZE = 512


class ArcFace:
    """Runs one ONNX session over aligned cuts, `batch` at a time."""

    def __init__(self, session: Any, batch: int = 16) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._batch = batch

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(M, 112, 112, 3) uint8 RGB -> (M, 512) float32, not normalised."""
        rows = [np.empty((0, EMBEDDING_SIZE), np.float32)]
        for start in range(0, len(chips), self._batch):
            part = np.asarray(chips[start : start + self._batch]).transpose(0, 3, 1, 2).astype(np.float32)
            blob = np.ascontiguousarray((part - np.float32(127.5)) * np.float32(1 / 127.5))
            rows.append(self._session.run(None, {self._input: blob})[0])
        return np.concatenate(rows)


def aligned(frame: Frame, points: NDArray[Any]) -> NDArray[np.uint8]:
    """The face turned and scaled so that its five points lie nearest the template: (112, 112, 3) uint8 RGB.

    Bilinear; black where the cut reaches over the picture's border.
    """
    import cv2

    # float32, as insightface fits them: float64 moves the matrix by 3e-5 and single pixels by several grey levels
    matrix = similarity(np.asarray(points, dtype=np.float32), TEMPLATE.astype(np.float32))
    chip = cv2.warpAffine(frame, matrix, (SIDE, SIDE), borderValue=0.0)
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
