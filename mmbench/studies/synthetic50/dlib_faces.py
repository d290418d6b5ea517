"""dlib's detector, landmarks and descriptor, as the screening and the data card use them (`build.py`)."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def models_folder() -> Path:
    """Where `face_recognition_models` keeps its files; its own import needs a package that is gone."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("face_recognition_models is not installed")
    return Path(spec.origin).parent / "models"


@lru_cache(maxsize=1)
def _models() -> tuple[Any, Any, Any, Any]:
    import dlib

    folder = models_folder()
    return (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat")),
        dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat")),
        dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat")),
    )


@lru_cache(maxsize=1)
def _cnn() -> Any:
    import dlib

    return dlib.cnn_face_detection_model_v1(str(models_folder() / "mmod_human_face_detector.dat"))


def detect(image: Picture, centre: tuple[float, float], fallback: bool = False) -> Any | None:
    """The box that contains `centre` (pixels): HOG with one upsampling, then the CNN if `fallback`."""
    import dlib

    boxes = list(_models()[0](image, 1))
    point = dlib.point(int(centre[0]), int(centre[1]))
    found = [box for box in boxes if box.contains(point)]
    if not found and fallback:
        found = [hit.rect for hit in _cnn()(image, 0) if hit.rect.contains(point)]
    return max(found, key=lambda box: box.area()) if found else None


def landmarks(image: Picture, box: Any) -> NDArray[np.float64]:
    """The 68 points (68, 2), origin at the image corner (dlib counts from pixel centres)."""
    shape = _models()[1](image, box)
    return np.array([[shape.part(k).x + 0.5, shape.part(k).y + 0.5] for k in range(68)])


def descriptor(image: Picture, box: Any) -> NDArray[np.float64]:
    """The 128 numbers of the face, not normalised."""
    return np.array(_models()[3].compute_face_descriptor(image, _models()[2](image, box)))
