"""The faces of reference pictures: found once, when a run is set up, or an error that names the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ReferenceFaceError
from mmbench.face.geometry import Array, area, largest
from mmbench.face.track import ReferenceFaces
from mmbench.face.types import Face, FaceBackend
from mmbench.remote.path import path_of
from mmbench.video.clip import Frame
from mmbench.video.image import read_image

# A picture is brought between these sides before detection: small enough for memory, large enough for HOG.
MAX_SIDE = 1600
MIN_SIDE = 400

# Another face of this share of the largest's area could have been meant; smaller ones are passers-by, or no faces.
SECOND_FACE_AREA = 0.2

# Up to here two pictures are taken for one person's: a little below dlib's own limit of 0.6, since a warning costs
# less than a wrong picture; a low cosine for other recognisers.
DLIB_SIZE = 128
DLIB_SAME_PERSON = 0.55
ARCFACE_SAME_PERSON = 0.2


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
    files = tuple(path_of(path) for path in paths)
    found = [_largest_face(file, (backend, *also)) for file in files]
    faces = [one.face for one in found]
    points68 = [face.points68 for face in faces if face.points68 is not None]
    own = ReferenceFaces(
        paths=files,
        embeddings=backend.embed(np.stack([one.chips[0] for one in found])),
        mirrored=_mirrored([one.chips[0] for one in found], backend),
        points=np.stack([face.points for face in faces]),
        box=np.stack([face.box for face in faces]),
        tight_box=np.stack([face.tight_box for face in faces]),
        points68=np.stack(points68) if len(points68) == len(faces) else None,
        provenance=backend.embedding_provenance,
        sizes=tuple(small_reference(one.file, one.enlarged) for one in found if one.enlarged > 1),
    )
    each = [
        own,
        *(
            replace(
                own,
                embeddings=other.embed(np.stack([one.chips[number] for one in found])),
                mirrored=_mirrored([one.chips[number] for one in found], other),
                provenance=other.embedding_provenance,
            )
            for number, other in enumerate(also, start=1)
        ),
    ]
    several = tuple(several_faces(one.file, one.faces) for one in found if one.faces > 1)
    return tuple(replace(faces, notes=(*several, *unlike(faces.paths, faces.embeddings))) for faces in each)


def _mirrored(chips: Sequence[NDArray[Any]], backend: FaceBackend) -> NDArray[np.float32] | None:
    """Embeddings of aligned cuts turned left to right; None where a cut is no picture."""
    if chips[0].ndim < 2:
        return None
    return backend.embed(np.stack([np.ascontiguousarray(chip[:, ::-1]) for chip in chips]))


def named(file: Path) -> str:
    """A picture's name with its folder's, for notes that are published: the rest of its path is nobody's business."""
    return "/".join(file.parts[-2:])


def several_faces(file: Path, count: int) -> str:
    """What to tell of a picture in which somebody else could have been meant."""
    return (
        f"several_faces: {named(file)} shows {count} faces; the largest is taken for the person. Give a picture of one "
        "person, or cut it."
    )


def small_reference(file: Path, enlarged: float) -> str:
    """What to tell of a picture that was enlarged before its landmarks were measured."""
    return (
        f"small_reference: {named(file)} was enlarged {enlarged:.2f} times, to {MIN_SIDE} px, before its landmarks "
        "were measured; FM ref differs by up to 8 % from that against a larger picture."
    )


def unlike(files: Sequence[Path], embeddings: NDArray[np.float32]) -> tuple[str, ...]:
    """A note that names the two references of one identity that are least alike, where they look like two people.

    embeddings (R, D) raw: by distance for dlib's 128 numbers, by cosine for other recognisers.
    """
    wide = embeddings.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1)
    if len(wide) < 2 or not np.isfinite(wide).all() or not lengths.all():
        return ()
    if wide.shape[1] == DLIB_SIZE:
        apart, limit, what = np.linalg.norm(wide[:, None] - wide[None], axis=-1), DLIB_SAME_PERSON, "distance"
    else:
        unit = wide / lengths[:, None]
        apart, limit, what = 1 - unit @ unit.T, 1 - ARCFACE_SAME_PERSON, "cosine distance"
    one, other = sorted(divmod(int(np.argmax(apart)), len(wide)))
    if apart[one, other] <= limit:
        return ()
    return (
        f"unlike_references: {named(files[one])} and {named(files[other])} are given as one person and do not look "
        f"alike ({what} {apart[one, other]:.2f}, one person's is seldom over {limit:g}). Check that both show the "
        "person.",
    )


@dataclass(frozen=True)
class _Found:
    """The face of one picture, its cut for each backend, how many faces it shows, and by what it was enlarged."""

    file: Path
    face: Face
    chips: list[NDArray[Any]]
    faces: int
    enlarged: float


def _largest_face(file: Path, backends: Sequence[FaceBackend]) -> _Found:
    """The face that the first of the backends finds."""
    picture, scale = _bring_to_size(read_image(file))
    for border in (0, max(picture.shape[:2]) // 2):
        frame = np.pad(picture, ((border, border), (border, border), (0, 0)), mode="edge")
        if faces := backends[0].detect([frame])[0]:
            face = faces[largest([face.box for face in faces])]
            least = SECOND_FACE_AREA * area(face.box)
            count = sum(1 for one in faces if area(one.box) >= least)
            chips = [backend.chip(frame, face) for backend in backends]
            return _Found(file, _move(face, -border, 1 / scale), chips, count, scale)
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
