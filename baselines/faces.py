"""Faces of a reference picture, as the identity models need them: box, five points, 512-d embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ReferenceFaceError

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.float32]

ARCFACE_POINTS: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
"""Eyes, nose and mouth corners in ArcFace's 112-pixel crop (Deng et al. 2019, published with insightface)."""


@dataclass(frozen=True, eq=False)
class Face:
    """Box (left, top, right, bottom) and points (5, 2) in pixels; `embedding` (512,) raw, not normalised."""

    box: Floats
    points: Floats
    score: float
    embedding: Floats


class FaceAnalyser(Protocol):
    """Finds faces. `detector_size` is the side of the square that the picture is fitted into for detection."""

    def find(self, picture: Image, detector_size: int) -> list[Face]:
        """Faces of an RGB picture, surest first; empty without one."""


class StandInFaces:
    """A deterministic stand-in for tiny runs: one centred face, embedded by a fixed projection of its pixels.

    It recognises nobody. It exists so that the code after the face networks can run without their weights, and so
    that different references give different embeddings.
    """

    def find(self, picture: Image, detector_size: int) -> list[Face]:
        width, height = picture.size
        side = 0.7 * min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        pixels = np.asarray(picture.resize((16, 16)), dtype=np.float32).ravel() / 127.5 - 1
        projection = np.random.default_rng(512).standard_normal((512, pixels.size)).astype(np.float32)
        return [
            Face(
                box=np.array([left, top, left + side, top + side], dtype=np.float32),
                points=ARCFACE_POINTS * np.float32(side / 112) + np.array([left, top], dtype=np.float32),
                score=1.0,
                embedding=(projection @ pixels * (20 / np.sqrt(pixels.size))).astype(np.float32),
            )
        ]


def first_face_of_each(
    analyser: FaceAnalyser,
    references: Sequence[Image],
    sizes: Sequence[int],
    choose: Callable[[list[Face]], Face],
) -> list[tuple[Image, Face]]:
    """Each reference with its chosen face, references without a face left out.

    `sizes` are tried in order until one detects something. Raises ReferenceFaceError when no reference has a face.
    """
    found = []
    for picture in references:
        for size in sizes:
            if faces := analyser.find(picture, size):
                found.append((picture, choose(faces)))
                break
    if not found:
        raise ReferenceFaceError(
            f"None of the {len(references)} reference pictures shows a face that the detector finds.",
            "Give a sharper, more frontal or larger face.",
        )
    return found


def surest(faces: list[Face]) -> Face:
    """The first face: PhotoMaker's and ID-Animator's choice."""
    return faces[0]


def largest(faces: list[Face]) -> Face:
    """The face with the largest box: ConsisID's choice."""
    return max(faces, key=lambda face: float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1])))


def similarity_transform(source: Floats, target: Floats) -> NDArray[np.float64]:
    """The 2x3 rotation, scale and shift that takes `source` (n, 2) nearest to `target` in least squares.

    Umeyama 1991, without reflection.
    """
    source64, target64 = source.astype(np.float64), target.astype(np.float64)
    source_mean, target_mean = source64.mean(0), target64.mean(0)
    moved, wanted = source64 - source_mean, target64 - target_mean
    u, strength, vt = np.linalg.svd(wanted.T @ moved / len(source64))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (strength * signs).sum() / moved.var(0).sum()
    shift = target_mean - scale * rotation @ source_mean
    return np.hstack([scale * rotation, shift[:, None]])


def aligned(picture: NDArray[np.uint8], points: Floats, template: Floats, side: int) -> NDArray[np.uint8]:
    """The `side` x `side` crop of `picture` in which `points` lie on `template`; outside of the picture is black."""
    import cv2

    transform = similarity_transform(points, template)
    return np.asarray(cv2.warpAffine(picture, transform, (side, side), borderValue=0.0), dtype=np.uint8)
