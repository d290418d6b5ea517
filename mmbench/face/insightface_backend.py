"""insightface's buffalo_l without its package: SCRFD detection and ArcFace embeddings, the two files needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.arcface import ArcFace, aligned
from mmbench.face.onnx_session import check_provider, import_onnxruntime, open_session, provider_of
from mmbench.face.scrfd import Scrfd
from mmbench.score import Provenance

if TYPE_CHECKING:
    from mmbench.face.backend import Face
    from mmbench.video.clip import Frame

DETECTOR = "buffalo-l-det-10g"
RECOGNISER = "buffalo-l-w600k-r50"


class InsightFaceBackend:
    """See `FaceBackend`. The weights are for non-commercial research; embeddings form a column of their own.

    Only the detector and the recogniser of the package's five networks are loaded. `tiny` builds two small
    random ONNX networks instead. `device` is "cpu", "cuda" or "cuda:1"; the provenance names the provider that
    runs. Raises MissingDependency without onnxruntime or without one that can use the GPU asked for,
    MissingWeights, WeightsError.
    """

    name = "insightface"

    def __init__(self, tiny: bool = False, device: str = "cpu", threads: int = 1) -> None:
        onnxruntime = import_onnxruntime()
        check_provider(device)
        models, weights = _tiny_models() if tiny else _registered_models()
        detector, recogniser = (open_session(model, device, threads) for model in models)
        self._detector, self._recogniser = Scrfd(detector), ArcFace(recogniser)
        versions = {"onnxruntime": onnxruntime.__version__, "device": device, "provider": provider_of(detector)}
        self.provenance = Provenance("insightface", weights, versions, random_weights=tiny)

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame, best first; the detector takes one frame at a time."""
        return [self._detector.detect(frame) for frame in frames]

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """The aligned face, (112, 112, 3) uint8 RGB."""
        return aligned(frame, face.points)

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 112, 112, 3) uint8 -> (M, 512) float32, raw."""
        return self._recogniser.embed(chips)


def _registered_models() -> tuple[tuple[str, str], dict[str, str]]:
    from mmbench.face.dlib_recogniser import checked

    weights: dict[str, str] = {}
    paths = checked(DETECTOR, weights), checked(RECOGNISER, weights)
    return paths, weights


def _tiny_models() -> tuple[tuple[bytes, bytes], dict[str, str]]:
    from mmbench.face.insightface_tiny import tiny_arcface, tiny_scrfd

    return (tiny_scrfd(), tiny_arcface()), {}
