"""The face networks' contract: find faces, cut them out, turn the cuts into embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmbench.face.geometry import Array
    from mmbench.scores import Provenance
    from mmbench.video.clip import Frame


VERSION = 4
"""Part of the key of every kept track. Raise it with any change to detection, selection or embedding that changes a
number."""


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face, in pixels of its frame; float32 from every detector, a stand-in may give float64.

    `box` is the detector's own, (4,) (left, top, right, bottom). `points` are (5, 2): image-left eye,
    image-right eye, nose tip, image-left mouth corner, image-right mouth corner. `points68` are the iBUG points,
    (68, 2), where the backend has them. `tight_box` encloses the landmarks (68 where there are 68, else the
    detector's box): free of the quantisation of HOG boxes.
    """

    box: Array
    score: float
    points: Array
    points68: NDArray[np.float32] | None
    tight_box: Array


class Analyser(Protocol):
    """What looks at reference pictures for a generator: a detector and a recogniser, one picture at a time.

    Pictures are uint8 RGB, (H, W, 3).
    """

    def find(self, picture: Frame, side: int = 640) -> list[Face]:
        """All faces, best first; empty without one. `side` is that of the square the picture is fitted into.

        Detectors that know no such square ignore it.
        """

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """The raw recognition vector of one of the picture's faces, (D,) float32, not normalised."""


class FaceBackend(Protocol):
    """Detector, landmarks and recogniser under one name. Results may not depend on how frames are batched.

    `provenance` is what makes the boxes and points, `embedding_provenance` what makes the embeddings of them.
    """

    name: str
    provenance: Provenance
    embedding_provenance: Provenance

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame (uint8 RGB, (H, W, 3), all of one size); an empty list where there is none."""

    def chip(self, frame: Frame, face: Face) -> NDArray[Any]:
        """The aligned cut of one face as `embed` takes it."""

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """Raw embeddings (M, D) float32, not normalised, of M cuts stacked on axis 0."""


@runtime_checkable
class TwoStageBackend(FaceBackend, Protocol):
    """A backend with a fast detector, and a slow one for the frames where the fast one found nothing.

    The face pass runs the slow one only on the frames it has to answer for: the sampled slots.
    """

    def detect_fast(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """As `detect`, the fast stage alone."""

    def detect_slow(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """As `detect`, the slow stage alone."""


@runtime_checkable
class BatchedBackend(FaceBackend, Protocol):
    """A backend that says how many frames it takes at once; the face pass hands it that many."""

    def frames_at_once(self, height: int, width: int) -> int:
        """Frames of that size that fit its memory budget; at least 1."""


def chained(detector: Provenance, recogniser: Provenance) -> Provenance:
    """What made embeddings: a detector's provenance and a recogniser's. Names "insightface+dlib" where they differ."""
    from mmbench.scores import Provenance

    same = detector.backend == recogniser.backend
    return Provenance(
        backend=detector.backend if same else f"{detector.backend}+{recogniser.backend}",
        weights={**detector.weights, **recogniser.weights},
        versions={**detector.versions, **recogniser.versions},
        random_weights=detector.random_weights or recogniser.random_weights,
    )
