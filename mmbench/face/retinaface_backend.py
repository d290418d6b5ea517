"""RetinaFace's boxes and five points (the paper's landmark source) with dlib's recogniser for identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.dlib_recogniser import DlibRecogniser
from mmbench.face.retinaface import detect_faces
from mmbench.score import Provenance

if TYPE_CHECKING:
    from mmbench.face.backend import Face
    from mmbench.video.clip import Frame

REGISTERED = "retinaface-resnet50"
MAX_SIDE = 960
TINY_SIDE = 160
SEED = 0


class RetinaFaceBackend:
    """See `FaceBackend`. `max_side` is the picture size RetinaFace sees: 960 is its authors' default.

    `weights` None takes the registered file, a path that file, "random" seeded random weights; `tiny` is a
    small random network that always finds a face. The recogniser is dlib's in each case. One frame a forward
    on the processor, so that results do not depend on batching. Raises MissingWeights or WeightsError.
    """

    name = "retinaface"

    def __init__(
        self,
        tiny: bool = False,
        device: str = "cpu",
        weights: str | Path | None = None,
        max_side: int | None = None,
    ) -> None:
        import torch
        import torchvision

        from mmbench.face.retinaface_net import TinyRetinaFace, large_retinaface

        versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "device": device}
        self._recogniser = DlibRecogniser()
        provenance = Provenance("retinaface", dict(self._recogniser.weights), versions)
        self.max_side = max_side or (TINY_SIDE if tiny else MAX_SIDE)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = TinyRetinaFace() if tiny else large_retinaface()
        if tiny or weights == "random":
            provenance = replace(provenance, random_weights=True)
        else:
            from mmbench.weights import load, load_file, load_strict

            name = REGISTERED if weights is None else Path(weights).name
            loaded = load(REGISTERED) if weights is None else load_file(Path(weights))
            load_strict(network, loaded.state, str(loaded.path))
            provenance = replace(provenance, weights={**provenance.weights, name: loaded.sha256})
        self.network = network.to(device).eval().requires_grad_(False)
        self.provenance = provenance
        self._device = device
        self._batch = 1 if device == "cpu" else 16

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame, best first."""
        found: list[list[Face]] = []
        for start in range(0, len(frames), self._batch):
            found += detect_faces(self.network, frames[start : start + self._batch], self.max_side, self._device)
        return found

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """dlib's aligned cut, (150, 150, 3) uint8 RGB."""
        return self._recogniser.chip(frame, face)

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 150, 150, 3) uint8 -> (M, 128) float32, raw."""
        return self._recogniser.embed(chips)
