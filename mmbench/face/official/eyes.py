"""SCRFD at 320 px and three networks that read its cuts: ArcFace, CurricularFace and Inception's features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.face.official.cuts import DETECTOR_SIDE, FaceCut, cut_face
from mmbench.face.types import chained
from mmbench.files import content_of
from mmbench.scores import Provenance

if TYPE_CHECKING:
    from torch import nn

    from mmbench.face.insightface.eyes import InsightFaceBackend, ScrfdDetector

TorchReader = Literal["cur", "features"]
Reader = Literal["arc", TorchReader]
REGISTERED: Mapping[Reader, str] = {
    "arc": "buffalo-l-w600k-r50",
    "cur": "curricularface-ir101",
    "features": "inception-v3-torchvision",
}
DETECTOR = "buffalo-l-det-10g"
SEED = 0


@dataclass(frozen=True, eq=False)
class OfficialFaces:
    """What one network made of a clip: `vectors` (F, D) float32, raw, of the frames `frames` (F,) int64, rising.

    Rows are NaN where no face was found. `padded` (F,) bool: found only with a border. `eyes` read a reference.
    """

    frames: NDArray[np.int64]
    vectors: NDArray[np.float32]
    padded: NDArray[np.bool_]
    eyes: OfficialEyes

    def at(self, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows of these frames, (K, D), which are among those looked at."""
        return self.vectors[np.searchsorted(self.frames, frames)]


class OfficialEyes:
    """The detector, one network behind it, and what it makes of cuts and of a reference picture.

    `finder` is the detector at the protocols' size, `provenance` the detector's and the network's, `network` what
    `read` runs where that is torch's.
    """

    def __init__(
        self,
        detector: ScrfdDetector,
        read: Callable[[Sequence[FaceCut]], NDArray[np.float32]],
        provenance: Provenance,
        network: nn.Module | None = None,
    ) -> None:
        self.detector, self.finder, self._read = detector, detector.at(DETECTOR_SIDE), read
        self.network = network
        self.provenance = chained(detector.provenance, provenance)
        self._references: dict[str, NDArray[np.float32] | None] = {}

    def of_clip(self, cuts: Mapping[int, FaceCut | None]) -> OfficialFaces:
        """The network's vectors of the cuts of a clip, by frame."""
        frames = np.array(sorted(cuts), dtype=np.int64)
        found = [(row, cut) for row, frame in enumerate(frames.tolist()) if (cut := cuts[frame]) is not None]
        vectors = np.full((len(frames), 1), np.nan, np.float32)
        padded = np.zeros(len(frames), np.bool_)
        if found:
            rows = np.array([row for row, _ in found])
            read = self._read([cut for _, cut in found])
            vectors = np.full((len(frames), read.shape[1]), np.nan, np.float32)
            vectors[rows], padded[rows] = read, [cut.padded for _, cut in found]
        return OfficialFaces(frames, vectors, padded, self)

    def of_picture(self, path: Path) -> NDArray[np.float32] | None:
        """The vector (D,) of a reference picture's largest face; None without one. Raises MediaError."""
        key = content_of(path)
        if key not in self._references:
            from mmbench.video.image import read_image

            cut = cut_face(self.finder, read_image(path))
            self._references[key] = None if cut is None else self._read([cut])[0]
        return self._references[key]


def arc_eyes(backend: InsightFaceBackend) -> OfficialEyes:
    """ArcFace behind its own backend's detector, both as they are."""

    def read(cuts: Sequence[FaceCut]) -> NDArray[np.float32]:
        return backend.embed(np.stack([cut.small for cut in cuts]))

    return OfficialEyes(backend.detector, read, backend.embedding_provenance)


def torch_eyes(reader: TorchReader, detector: ScrfdDetector) -> OfficialEyes:
    """A network of torch behind the detector, tiny and where that is. Raises MissingWeights, WeightsError."""
    import torch
    import torchvision

    from mmbench.device import torch_device

    where = torch_device(detector.device)
    network, read, backend = _network(reader, detector.tiny)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "device": detector.device}
    provenance = Provenance(backend, versions=versions, random_weights=detector.tiny)
    if not detector.tiny:
        from mmbench.weights import load, load_strict

        loaded = load(REGISTERED[reader])
        load_strict(network, loaded.state, str(loaded.path))
        provenance = replace(provenance, weights={loaded.name: loaded.sha256})
    if reader == "features":
        network.fc = torch.nn.Identity()
    network = network.to(where).eval().requires_grad_(False)
    run = partial(read, network, device=where)
    return OfficialEyes(detector, lambda cuts: run(np.stack([cut.large for cut in cuts])), provenance, network)


def _network(reader: TorchReader, tiny: bool) -> tuple[nn.Module, Callable[..., NDArray[Any]], str]:
    """A network with seeded random weights, how it reads cuts, and its name."""
    import torch

    from mmbench.face.official.curricular import TINY_DEPTHS, TINY_WIDTHS, CurricularFace, curricular_vectors
    from mmbench.face.official.features import TinyFeatures, feature_vectors, inception_features

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        if reader == "cur":
            network = CurricularFace(TINY_DEPTHS, TINY_WIDTHS) if tiny else CurricularFace()
            return network, curricular_vectors, "curricularface"
        return TinyFeatures() if tiny else inception_features(), feature_vectors, "inception-v3"


def check(reader: Reader, random_weights: bool) -> None:
    """Raise MissingDependency or MissingWeights where a package or file is not here. Loads nothing."""
    from mmbench.face.insightface.session import import_onnxruntime
    from mmbench.weights import all_of

    import_onnxruntime()
    if not random_weights:
        all_of((DETECTOR, REGISTERED[reader]), "face_feature_distance" if reader == "features" else "facesim")
