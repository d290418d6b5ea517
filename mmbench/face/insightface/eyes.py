"""insightface's buffalo_l without its package: SCRFD's faces, with ArcFace's embeddings or with dlib's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.cut import aligned
from mmbench.face.dlib.recogniser import DlibRecogniser
from mmbench.face.insightface.arcface import ArcFace
from mmbench.face.insightface.scrfd import Scrfd
from mmbench.face.insightface.session import check_provider, import_onnxruntime, open_session, provider_of
from mmbench.face.insightface.tiny import tiny_arcface, tiny_scrfd
from mmbench.face.packs import BUFFALO_L
from mmbench.face.types import chained
from mmbench.scores import Provenance
from mmbench.weights.checked import checked

if TYPE_CHECKING:
    from mmbench.face.types import Face
    from mmbench.video.clip import Frame


class ScrfdDetector:
    """SCRFD's network, loaded once for whoever looks for faces with it: the two backends below, and official columns.

    `tiny` builds a small random network instead. `device` is "cpu", "cuda" or "cuda:1"; the provenance names the
    provider that runs. Raises MissingDependency without onnxruntime or without one that can use the GPU asked for,
    MissingWeights, WeightsError.
    """

    def __init__(self, tiny: bool = False, device: str = "cpu", threads: int = 1) -> None:
        check_provider(device)
        self.tiny, self.device, self.threads = tiny, device, threads
        weights: dict[str, str] = {}
        session = open_session(tiny_scrfd() if tiny else checked(BUFFALO_L.detector, weights), device, threads)
        self._session, self._scrfd = session, Scrfd(session)
        self.provenance = Provenance("insightface", weights, _versions(device, session), random_weights=tiny)

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame, best first; the network takes one frame at a time."""
        return [self._scrfd.detect(frame) for frame in frames]

    def at(self, side: int) -> Scrfd:
        """The same network on pictures fitted into a square of `side` px, a multiple of 32; `detect` takes 640."""
        return Scrfd(self._session, side)


class InsightFaceBackend:
    """See `FaceBackend`: SCRFD and ArcFace, the two networks needed of the package's five.

    The weights are for non-commercial research; the embeddings form a column of their own. Arguments and errors are
    `ScrfdDetector`'s; with `detector` that one finds the faces, and the recogniser runs where it does.
    """

    name = "insightface"

    def __init__(
        self, tiny: bool = False, device: str = "cpu", threads: int = 1, *, detector: ScrfdDetector | None = None
    ) -> None:
        self.detector = detector or ScrfdDetector(tiny, device, threads)
        tiny, device, threads = self.detector.tiny, self.detector.device, self.detector.threads
        weights: dict[str, str] = {}
        session = open_session(tiny_arcface() if tiny else checked(BUFFALO_L.recogniser, weights), device, threads)
        self._recogniser = ArcFace(session)
        recogniser = Provenance("insightface", weights, _versions(device, session), random_weights=tiny)
        self.provenance = self.detector.provenance
        self.embedding_provenance = chained(self.provenance, recogniser)

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame, best first."""
        return self.detector.detect(frames)

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """The aligned face, (112, 112, 3) uint8 RGB."""
        return aligned(frame, face.points)

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 112, 112, 3) uint8 -> (M, 512) float32, raw."""
        return self._recogniser.embed(chips)


class InsightFaceDlibBackend:
    """See `FaceBackend`: SCRFD's faces with dlib's recogniser, as `RetinaFaceBackend` does it.

    What an evaluation with the face backend "insightface" fills the columns of dlib's scale from; ArcFace's file is
    not needed. dlib places its own five points in the detector's box. Such a box is drawn by another convention than
    HOG's: a box from brow-and-forehead to chin moves dlib's embeddings of photographs by an L2 distance of 0.1 in the
    mean (0.6 is "another person"), so the numbers are another measure than those of `DlibBackend`, and say so.
    """

    name = "insightface+dlib"

    def __init__(
        self, tiny: bool = False, device: str = "cpu", threads: int = 1, *, detector: ScrfdDetector | None = None
    ) -> None:
        self.detector = detector or ScrfdDetector(tiny, device, threads)
        self._recogniser = DlibRecogniser(device)
        self.provenance = self.detector.provenance
        self.embedding_provenance = chained(self.provenance, self._recogniser.provenance)

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame, best first."""
        return self.detector.detect(frames)

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """dlib's aligned cut, (150, 150, 3) uint8 RGB."""
        return self._recogniser.chip(frame, face)

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 150, 150, 3) uint8 -> (M, 128) float32, raw."""
        return self._recogniser.embed(chips)


def _versions(device: str, session: Any) -> dict[str, str]:
    return {"onnxruntime": import_onnxruntime().__version__, "device": device, "provider": provider_of(session)}
