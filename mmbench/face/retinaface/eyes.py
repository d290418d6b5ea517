"""RetinaFace's boxes and five points (the paper's landmark source) with dlib's recogniser for identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.device import torch_device
from mmbench.face.dlib.recogniser import DlibRecogniser
from mmbench.face.retinaface.detect import detect_faces
from mmbench.face.types import chained
from mmbench.scores import Provenance

if TYPE_CHECKING:
    from mmbench.face.types import Face
    from mmbench.video.clip import Frame

REGISTERED = "retinaface-resnet50"
MAX_SIDE = 960
TINY_SIDE = 160
SEED = 0

GPU_BUDGET = 4 * 2**30
GPU_BYTES_PER_PIXEL = 500
"""Twice what the activations of the large network take at their peak (224), for cuDNN's work space."""
GPU_BATCH = 16
"""Frames at most: they wait in the processor's memory, and a GPU is busy with fewer."""


class RetinaFaceBackend:
    """See `FaceBackend`. `max_side` is the picture size RetinaFace sees: 960 is its authors' default.

    `weights` None takes the registered file, a path that file, "random" seeded random weights; `tiny` is a
    small random network that always finds a face. `device` is where the detector and the recogniser run, which is
    dlib's in each case. One frame a forward on the processor, so that results do not depend on batching; on a GPU they
    do by rounding. Raises MissingWeights, WeightsError, or MMBenchError where there is no such device.
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

        from mmbench.face.retinaface.net import TinyRetinaFace, large_retinaface

        self.device = torch_device(device)
        layout = "frames'" if self.device.type == "cpu" else "planes"
        versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
        versions.update(device=str(self.device), layout=layout)
        self._recogniser = DlibRecogniser(device)
        provenance = Provenance("retinaface", versions=versions)
        self.max_side = max_side or (TINY_SIDE if tiny else MAX_SIDE)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = TinyRetinaFace() if tiny else large_retinaface()
        if tiny or weights == "random":
            provenance = replace(provenance, random_weights=True)
        else:
            from mmbench.weights import load, load_file, load_strict

            loaded = load(REGISTERED) if weights is None else load_file(Path(weights))
            load_strict(network, loaded.state, str(loaded.path))
            provenance = replace(provenance, weights={loaded.name: loaded.sha256})
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.provenance = provenance
        self.embedding_provenance = chained(provenance, self._recogniser.provenance)

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """All faces of each frame, best first."""
        found: list[list[Face]] = []
        batch = self.frames_at_once(*frames[0].shape[:2]) if len(frames) else 1
        for start in range(0, len(frames), batch):
            found += detect_faces(self.network, frames[start : start + batch], self.max_side, self.device)
        return found

    def frames_at_once(self, height: int, width: int) -> int:
        """Frames of that size in one forward: what fits the GPU's budget, one on the processor."""
        return 1 if self.device.type == "cpu" else frames_in_budget(height, width, self.max_side)

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """dlib's aligned cut, (150, 150, 3) uint8 RGB."""
        return self._recogniser.chip(frame, face)

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 150, 150, 3) uint8 -> (M, 128) float32, raw."""
        return self._recogniser.embed(chips)


def frames_in_budget(height: int, width: int, max_side: int) -> int:
    """Frames of that size, scaled to `max_side`, that one forward on a GPU takes: 1 to GPU_BATCH."""
    factor = max_side / max(height, width)
    pixels = round(height * factor) * round(width * factor)
    return max(1, min(GPU_BATCH, GPU_BUDGET // (max(1, pixels) * GPU_BYTES_PER_PIXEL)))
