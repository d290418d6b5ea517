"""Whether a reference shows a face, by the detector the evaluation uses by default."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from mmbench.testsets.pubfig50.references import HasFace


def dlib_has_face() -> HasFace:
    """A function that says whether dlib finds a face; it may be called from several threads, one at a time works."""
    from mmbench.face.make import make_backend

    backend = make_backend("dlib")
    turn = threading.Lock()

    def has_face(picture: NDArray[np.uint8]) -> bool:
        with turn:
            return bool(backend.detect([picture])[0])

    return has_face
