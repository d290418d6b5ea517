"""Faces of a person's reference pictures by an `Analyser`: an adapter of face backends, and the choice of faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ReferenceFaceError

if TYPE_CHECKING:
    from mmbench.face.types import Analyser, Face, FaceBackend
    from mmbench.video.clip import Frame


class BackendAnalyser:
    """A face backend as an `Analyser`."""

    def __init__(self, backend: FaceBackend) -> None:
        self.backend = backend

    def find(self, picture: Frame, side: int = 640) -> list[Face]:
        """All faces of one picture in the backend's own order; `side` is the backend's, whatever is asked."""
        return self.backend.detect([picture])[0]

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """The backend's raw vector of one face, (D,) float32."""
        vector: NDArray[np.float32] = self.backend.embed(self.backend.chip(picture, face)[None])[0]
        return vector


def surest_of_each(analyser: Analyser, pictures: Sequence[Frame], sides: Sequence[int]) -> list[tuple[int, Face]]:
    """The position and the first face of each picture that has one, in order; the others are left out.

    `sides` are tried in order until one detects something: PhotoMaker's and ID-Animator's rule. Raises
    ReferenceFaceError when no picture shows a face.
    """
    found = []
    for position, picture in enumerate(pictures):
        faces: list[Face] = next(filter(None, (analyser.find(picture, side) for side in sides)), [])
        if faces:
            found.append((position, faces[0]))
    if not found:
        raise ReferenceFaceError(
            f"None of the {len(pictures)} reference pictures shows a face that the detector finds.",
            "Give a sharper, more frontal or larger face.",
        )
    return found
