"""insightface's buffalo_l without its package: SCRFD detection and ArcFace embeddings, the two files needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MissingDependency
from mmbench.face.arcface import ArcFace, aligned
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
    random ONNX networks instead. Raises MissingDependency without onnxruntime, MissingWeights, WeightsError.
    """

    name = "insightface"

    def __init__(self, tiny: bool = False, device: str = "cpu", threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency(
                "onnxruntime is not installed.", "Install the extra: pip install 'mmbench[insightface]'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            providers.insert(0, "CUDAExecutionProvider")

        def session(model: str | bytes) -> Any:
            return onnxruntime.InferenceSession(model, options, providers=providers)

        models, weights = _tiny_models() if tiny else _registered_models()
        self._detector = Scrfd(session(models[0]))
        self._recogniser = ArcFace(session(models[1]))
        versions = {"onnxruntime": onnxruntime.__version__, "device": device}
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
