"""SCRFD (Guo et al., ICLR 2022) as insightface's det_10g runs it: boxes and five points of every face."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.types import Face

if TYPE_CHECKING:
    from mmbench.video.clip import Frame

STRIDES = (8, 16, 32)
ANCHORS = 2
MIN_SCORE = 0.5
MAX_OVERLAP = 0.4
INPUT_SIDE = 640
"""insightface 0.7's size; its version 2 runs 128 and 640 px and merges unless told otherwise."""

Floats = NDArray[np.float32]


class Scrfd:
    """Runs one ONNX session with nine outputs: scores, box distances, points, each at strides 8, 16 and 32."""

    def __init__(self, session: Any, side: int = INPUT_SIDE) -> None:
        self._session = session
        self._side = side
        self._input = session.get_inputs()[0].name

    def detect(self, frame: Frame) -> list[Face]:
        """Faces of one frame (uint8 RGB), best first, in its pixels."""
        canvas, scale = letterbox(frame, self._side)
        # multiplied, not divided: as OpenCV's blobFromImage rounds
        blob = (canvas.astype(np.float32) - np.float32(127.5)) * np.float32(1 / 128)
        blob = np.ascontiguousarray(blob.transpose(2, 0, 1)[None])
        outputs = [output.reshape(-1, output.shape[-1]) for output in self._session.run(None, {self._input: blob})]
        return decode(outputs, self._side, scale)


def letterbox(frame: Frame, side: int) -> tuple[NDArray[np.uint8], float]:
    """The frame scaled to fit a black `side` x `side` canvas, top left, and the factor it was scaled by."""
    import cv2

    height, width = frame.shape[:2]
    aspect = height / width
    new_height, new_width = (side, int(side / aspect)) if aspect > 1 else (int(side * aspect), side)
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(frame, (new_width, new_height))
    return canvas, new_height / height


def decode(outputs: list[Floats], side: int, scale: float) -> list[Face]:
    """Faces from the nine outputs, each (cells * 2, values), of a `side` px canvas of a frame scaled by `scale`."""
    levels = len(STRIDES)
    scores, boxes, points = [], [], []
    for level, stride in enumerate(STRIDES):
        score = outputs[level][:, 0]
        kept = np.where(score >= MIN_SCORE)[0]
        centre = _centres(side // stride, stride)[kept]
        distance = outputs[level + levels][kept] * stride
        boxes.append(np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], axis=1))
        points.append(centre[:, None] + outputs[level + 2 * levels][kept].reshape(-1, 5, 2) * stride)
        scores.append(score[kept])
    score, box = np.concatenate(scores), np.concatenate(boxes) / scale
    point = np.concatenate(points) / scale
    order = np.argsort(-score, kind="stable")
    kept = order[suppress(box[order])]
    return [
        Face(
            box=box[index].astype(np.float32),
            score=float(score[index]),
            points=point[index].astype(np.float32),
            points68=None,
            tight_box=box[index].astype(np.float32),
        )
        for index in kept
    ]


def suppress(boxes: NDArray[Any], max_overlap: float = MAX_OVERLAP) -> NDArray[np.int64]:
    """Positions of the boxes kept, from best-first boxes (N, 4): each drops later ones that overlap it by more.

    Sides count both border pixels (+ 1), as insightface does.
    """
    left, top, right, bottom = np.asarray(boxes, dtype=np.float32).T
    area = (right - left + 1) * (bottom - top + 1)
    waiting = np.arange(len(area))
    kept = []
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        kept.append(best)
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + 1
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        waiting = rest[shared / (area[best] + area[rest] - shared) <= max_overlap]
    return np.array(kept, dtype=np.int64)


@lru_cache(maxsize=16)
def _centres(cells: int, stride: int) -> Floats:
    y, x = np.mgrid[:cells, :cells].astype(np.float32) * stride
    return np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), ANCHORS, axis=0)
