"""Class probabilities of every frame, for the Inception Score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.device import Arithmetic, multiplied, torch_device
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame

if TYPE_CHECKING:
    from mmbench.encode.inception.net import FidInception

REGISTERED = "inception-2015-12-05"


@dataclass(frozen=True)
class InceptionResult:
    """`log_probs` float32 (n_frames, 1008): natural logarithms of the class probabilities of each frame."""

    log_probs: NDArray[np.float32]
    provenance: Provenance


@dataclass(frozen=True)
class Inception:
    """The network on its device, and where its weights come from."""

    network: FidInception
    provenance: Provenance
    device: str
    precision: Arithmetic = "fp32"


def make_inception(
    device: str = "cpu", weights: str | Path | None = None, tiny: bool = False, precision: Arithmetic = "fp32"
) -> Inception:
    """The FID Inception network in evaluation mode.

    `weights` None takes the registered file; a path takes that file; "random" draws weights with a fixed seed.
    `tiny` is a random network of an eighth of the width. `precision` is how it multiplies.
    Raises MissingWeights or WeightsError.
    """
    import torch
    import torchvision

    from mmbench.encode.inception.net import FidInception, randomise
    from mmbench.weights import load, load_file, load_strict

    versions = {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "device": device,
        "precision": precision,
    }
    provenance = Provenance("inception", versions=versions)
    with torch.random.fork_rng(devices=[]):
        network = FidInception(divide=8 if tiny else 1)
    if tiny or weights == "random":
        randomise(network)
        provenance = replace(provenance, random_weights=True)
    else:
        loaded = load(REGISTERED) if weights is None else load_file(Path(weights))
        load_strict(network, loaded.state, str(loaded.path))
        provenance = replace(provenance, weights={loaded.name: loaded.sha256})
    return Inception(network.to(torch_device(device)).eval().requires_grad_(False), provenance, device, precision)


class InceptionPass:
    """Runs every frame of a clip through the network, a few at a time."""

    name = "inception"

    def __init__(self, inception: Inception, batch: int | None = None) -> None:
        self.inception = inception
        self.batch = batch or (4 if inception.device == "cpu" else 64)

    def start(self, clip: ClipInfo) -> None:
        """Prepare for the frames of `clip`."""
        self._waiting: list[Frame] = []
        self._done: list[NDArray[np.float32]] = []

    def feed(self, index: int, frame: Frame) -> None:
        """Take every frame."""
        self._waiting.append(frame)
        if len(self._waiting) == self.batch:
            self._run()

    def finish(self) -> InceptionResult:
        """Log-probabilities of all frames in time order."""
        if self._waiting:
            self._run()
        return InceptionResult(np.concatenate(self._done), self.inception.provenance)

    def _run(self) -> None:
        import torch

        pictures = torch.from_numpy(np.stack(self._waiting)).to(self.inception.device)
        with torch.inference_mode(), multiplied(self.inception.device, self.inception.precision):
            logits = self.inception.network(pictures.permute(0, 3, 1, 2).contiguous())
            self._done.append(torch.log_softmax(logits.float(), dim=1).cpu().numpy())
        self._waiting = []
