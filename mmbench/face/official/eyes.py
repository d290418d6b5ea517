"""One detector at 320 px and three networks that read its cuts: ArcFace, CurricularFace and Inception's features."""

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

    from mmbench.face.official.cuts import FindsFaces

Reader = Literal["arc", "cur", "features"]
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

    `provenance` is the detector's and the network's.
    """

    def __init__(
        self,
        detector: OfficialDetector,
        read: Callable[[Sequence[FaceCut]], NDArray[np.float32]],
        provenance: Provenance,
    ) -> None:
        self.detector, self._read = detector, read
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

            cut = cut_face(self.detector.scrfd, read_image(path))
            self._references[key] = None if cut is None else self._read([cut])[0]
        return self._references[key]


class OfficialDetector:
    """SCRFD at 320 px. Raises as `mmbench.face.insightface.eyes.ScrfdDetector`."""

    def __init__(self, tiny: bool = False, device: str = "cpu") -> None:
        from mmbench.face.insightface.scrfd import Scrfd
        from mmbench.face.insightface.session import import_onnxruntime, open_session, provider_of
        from mmbench.face.insightface.tiny import tiny_scrfd
        from mmbench.weights.checked import checked

        weights: dict[str, str] = {}
        import_onnxruntime()
        session = open_session(tiny_scrfd(DETECTOR_SIDE) if tiny else checked(DETECTOR, weights), device)
        self.scrfd: FindsFaces = Scrfd(session, DETECTOR_SIDE)
        self.tiny, self.device = tiny, device
        versions = {"onnxruntime": import_onnxruntime().__version__, "device": device, "provider": provider_of(session)}
        self.provenance = Provenance("insightface", weights, versions, random_weights=tiny)


def make_eyes(reader: Reader, detector: OfficialDetector) -> OfficialEyes:
    """The eyes with one network, tiny and where the detector is. Raises MissingWeights, WeightsError."""
    if reader == "arc":
        return _arc_eyes(detector)
    return _torch_eyes(reader, detector)


def _arc_eyes(detector: OfficialDetector) -> OfficialEyes:
    from mmbench.face.insightface.arcface import ArcFace
    from mmbench.face.insightface.session import open_session
    from mmbench.face.insightface.tiny import tiny_arcface
    from mmbench.weights.checked import checked

    weights: dict[str, str] = {}
    model = tiny_arcface() if detector.tiny else checked(REGISTERED["arc"], weights)
    network = ArcFace(open_session(model, detector.device))
    provenance = replace(detector.provenance, weights=weights)
    return OfficialEyes(detector, lambda cuts: network.embed(np.stack([cut.small for cut in cuts])), provenance)


def _torch_eyes(reader: Reader, detector: OfficialDetector) -> OfficialEyes:
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
    return OfficialEyes(detector, lambda cuts: run(np.stack([cut.large for cut in cuts])), provenance)


def _network(reader: Reader, tiny: bool) -> tuple[nn.Module, Callable[..., NDArray[Any]], str]:
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
