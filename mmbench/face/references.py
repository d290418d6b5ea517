"""The faces of reference pictures: found once, when a run is set up, or an error that names the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ReferenceFaceError
from mmbench.face.geometry import Array, largest
from mmbench.face.track import ReferenceFaces
from mmbench.face.types import Face, FaceBackend
from mmbench.video.clip import Frame
from mmbench.video.image import read_image

# A picture is brought between these sides before detection: small enough for memory, large enough for HOG.
MAX_SIDE = 1600
MIN_SIDE = 400


def reference_faces(paths: Sequence[Path | str], backend: FaceBackend) -> ReferenceFaces:
    """The largest face of each picture: landmarks and box in the picture's own pixels, and the raw embedding.

    Where the whole detector chain finds nothing in the picture, it looks once more with a border of half the
    picture's size around it: tightly cropped faces have no context otherwise.

    Raises ReferenceFaceError when no picture is given or one shows no face, MediaError for an unreadable one.
    """
    return reference_faces_of(paths, backend)[0]


def reference_faces_of(
    paths: Sequence[Path | str], backend: FaceBackend, also: Sequence[FaceBackend] = ()
) -> tuple[ReferenceFaces, ...]:
    """As `reference_faces`; then the same faces as the backends in `also` embed them, which share its detector."""
    if not paths:
        raise ReferenceFaceError("No reference picture was given.", "Name at least one picture of the person.")
    files = tuple(Path(path) for path in paths)
    found = [_largest_face(file, (backend, *also)) for file in files]
    faces = [face for face, _ in found]
    points68 = [face.points68 for face in faces if face.points68 is not None]
    own = ReferenceFaces(
        paths=files,
        embeddings=backend.embed(np.stack([chips[0] for _, chips in found])),
        points=np.stack([face.points for face in faces]),
        box=np.stack([face.box for face in faces]),
        tight_box=np.stack([face.tight_box for face in faces]),
        points68=np.stack(points68) if len(points68) == len(faces) else None,
        provenance=backend.embedding_provenance,
    )
    return own, *(
        replace(
            own,
            embeddings=other.embed(np.stack([chips[number] for _, chips in found])),
            provenance=other.embedding_provenance,
        )
        for number, other in enumerate(also, start=1)
    )


def _largest_face(file: Path, backends: Sequence[FaceBackend]) -> tuple[Face, list[NDArray[Any]]]:
    """The face that the first of the backends finds, and its cut for each of them."""
    picture, scale = _bring_to_size(read_image(file))
    for border in (0, max(picture.shape[:2]) // 2):
        frame = np.pad(picture, ((border, border), (border, border), (0, 0)), mode="edge")
        if faces := backends[0].detect([frame])[0]:
            face = faces[largest([face.box for face in faces])]
            return _move(face, -border, 1 / scale), [backend.chip(frame, face) for backend in backends]
    raise ReferenceFaceError(
        f"{file}: the detector {backends[0].provenance.backend!r} finds no face in this reference picture.",
        "Use a picture in which the face is upright, unobstructed and at least 80 pixels wide.",
    )


def _bring_to_size(picture: Frame) -> tuple[Frame, float]:
    """The picture with its longer side within MIN_SIDE..MAX_SIDE, and the factor it was scaled by."""
    import cv2

    height, width = picture.shape[:2]
    longer = max(height, width)
    if MIN_SIDE <= longer <= MAX_SIDE:
        return picture, 1.0
    scale = MAX_SIDE / longer if longer > MAX_SIDE else MIN_SIDE / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8), scale


def _move(face: Face, shift: float, scale: float) -> Face:
    """The face in other coordinates: (old + shift) * scale."""

    def moved(values: Array) -> NDArray[np.float32]:
        return ((values + np.float32(shift)) * np.float32(scale)).astype(np.float32)

    return Face(
        box=moved(face.box),
        score=face.score,
        points=moved(face.points),
        points68=None if face.points68 is None else moved(face.points68),
        tight_box=moved(face.tight_box),
    )
