"""The face at a known place, as the evaluation's dlib networks see it: what screening, pictures and card ask."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmbench.face.make import make_backend
from mmbench.face.types import Face, TwoStageBackend

Picture = NDArray[np.uint8]


@lru_cache(maxsize=1)
def _dlib() -> TwoStageBackend:
    backend = make_backend("dlib")
    assert isinstance(backend, TwoStageBackend)
    return backend


def face_at(image: Picture, centre: tuple[float, float], fallback: bool = False) -> Face | None:
    """The largest face whose box contains `centre` (x, y in pixels): by HOG, then by the CNN if `fallback`.

    Raises MissingDependency without dlib, MissingWeights without its models.
    """
    backend, point = _dlib(), np.array([int(centre[0]), int(centre[1])])

    def around(faces: list[Face]) -> list[Face]:
        return [face for face in faces if (face.box[:2] <= point).all() and (point <= face.box[2:]).all()]

    found = around(backend.detect_fast([image])[0])
    if not found and fallback:
        found = around(backend.detect_slow([image])[0])
    # dlib's boxes have both corners inside
    return max(found, key=lambda face: float(np.prod(face.box[2:] - face.box[:2] + 1)), default=None)


def landmarks(face: Face) -> NDArray[np.float32]:
    """The 68 points (68, 2), origin at the image's corner (dlib counts from pixel centres)."""
    assert face.points68 is not None
    return face.points68 + np.float32(0.5)


def descriptor(image: Picture, face: Face) -> NDArray[np.float64]:
    """The 128 numbers of the face, float64, not normalised."""
    vector: NDArray[np.float64] = _dlib().embed(_dlib().chip(image, face)[None])[0].astype(np.float64)
    return vector
