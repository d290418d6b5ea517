"""Each frame's only face against the first frame's, as VBench-2.0's human identity compares them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.official.cuts import GREY_SIDE
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.need import FrameNeed, Maker, Networks

if TYPE_CHECKING:
    from torch import nn

    from mmbench.config import EvaluateSettings
    from mmbench.face.retinaface.net import RetinaFace

MAX_SIDE, TINY_SIDE = 2048, 160
"""Of the pictures that RetinaFace sees."""
SEED = 0
REGISTERED = "vbench2-arcface-resnet18"
DETECTOR = "retinaface-resnet50"
GREEN = (0, 255, 0)
"""Of the frame that the original draws around a face before it cuts the face out, 2 px."""


@dataclass(frozen=True)
class SamePerson:
    """`faces` (N,) int64: how many were found in each frame. `cosines` (N,) float64 with the first frame's, NaN in
    frames without exactly one face, and everywhere when the first frame is such a frame."""

    faces: NDArray[np.int64]
    cosines: NDArray[np.float64]
    provenance: Provenance


class FirstFacePass:
    """Looks at every frame; keeps one vector of each."""

    name = "human identity"

    def __init__(
        self, detector: RetinaFace, network: nn.Module, provenance: Provenance, device: str, side: int = MAX_SIDE
    ) -> None:
        from mmbench.device import torch_device

        self.detector, self.network, self.provenance = detector, network, provenance
        self._where, self._side = torch_device(device), side

    def start(self, clip: ClipInfo) -> None:
        """Forget the clip before."""
        self._counts: list[int] = []
        self._vectors: list[NDArray[np.float64] | None] = []

    def feed(self, index: int, frame: Frame) -> None:
        """Find the faces, and read the only one."""
        from mmbench.face.retinaface.detect import detect_faces

        found = detect_faces(self.detector, [frame], self._side, self._where)[0]
        self._counts.append(len(found))
        vector = None
        if len(found) == 1 and (cut := cut_of(frame, found[0].box, self._side)) is not None:
            vector = self._read(cut)
        self._vectors.append(vector)

    def _read(self, cut: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The vectors of a grey cut (128, 128) and of its mirror image, one after the other: (1024,)."""
        import torch

        both = np.stack([cut, np.fliplr(cut)]).astype(np.float32)[:, None]
        pictures = torch.from_numpy((both - 127.5) / 127.5).to(self._where)
        with torch.inference_mode():
            return self.network(pictures).cpu().numpy().astype(np.float64).ravel()  # type: ignore[no-any-return]

    def finish(self) -> SamePerson:
        """The cosines with the first frame."""
        cosines = np.full(len(self._vectors), np.nan)
        first = self._vectors[0] if self._vectors else None
        for row, vector in enumerate(self._vectors):
            if first is not None and vector is not None:
                cosines[row] = first @ vector / (np.linalg.norm(first) * np.linalg.norm(vector))
        return SamePerson(np.array(self._counts, np.int64), cosines, self.provenance)


def cut_of(frame: Frame, box: NDArray[Any], side: int = MAX_SIDE) -> NDArray[np.uint8] | None:
    """The box as the original cuts it: (128, 128) uint8 grey, squeezed to a square; None for an empty box.

    Its edges are cut off to whole pixels twice, at the detector's scale and at the frame's; the frame that the original
    draws around the face is in the cut.
    """
    import cv2

    height, width = frame.shape[:2]
    scale = max(height, width) / side
    left, top, right, bottom = (int(edge) for edge in np.trunc(np.floor(np.asarray(box, np.float64) / scale) * scale))
    left, top, right, bottom = max(0, left), max(0, top), min(width, right), min(height, bottom)
    if left >= right or top >= bottom:
        return None
    drawn = cv2.rectangle(frame.copy(), (left, top), (right, bottom), GREEN, 2)
    small = cv2.resize(drawn[top:bottom, left:right], (GREY_SIDE, GREY_SIDE))
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


class HumanIdentityNeed(FrameNeed[SamePerson]):
    """The only face of every frame against the first frame's. Its detector is another than the other columns'."""

    name = "human identity"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Both files and the device."""
        from mmbench.weights.identity import identity

        names = () if settings.random_weights else (DETECTOR, REGISTERED)
        random = settings.random_weights
        return {"device": settings.device, "random": random, "weights": [identity(name) for name in names]}

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[SamePerson]:
        """Both networks. Raises MissingWeights or WeightsError."""
        self.check(settings)
        device, tiny = settings.device, settings.random_weights
        made = networks.once(("human identity", device, tiny), lambda: make_same_person(device, tiny))
        return Maker(lambda: FirstFacePass(*made))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where one of the files is not here."""
        from mmbench.weights import all_of

        if not settings.random_weights:
            all_of((DETECTOR, REGISTERED), "human_identity")


def make_same_person(device: str, tiny: bool) -> tuple[RetinaFace, nn.Module, Provenance, str, int]:
    """The arguments of a `FirstFacePass`: registered weights, or `tiny` seeded random ones."""
    import torch

    from mmbench.device import torch_device
    from mmbench.face.official.grey_arcface import GreyArcFace
    from mmbench.face.retinaface.net import TinyRetinaFace, large_retinaface
    from mmbench.weights import load, load_strict

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        detector = TinyRetinaFace() if tiny else large_retinaface()
        network = GreyArcFace((8, 8, 8, 8), 16) if tiny else GreyArcFace()
    provenance = Provenance("vbench2", versions={"torch": torch.__version__, "device": device}, random_weights=tiny)
    if not tiny:
        found, face = load(DETECTOR), load(REGISTERED)
        load_strict(detector, found.state, str(found.path))
        load_strict(network, face.state, str(face.path), rename=lambda key: key.removeprefix("module."))
        provenance = replace(provenance, weights={one.name: one.sha256 for one in (found, face)})
    where, side = torch_device(device), TINY_SIDE if tiny else MAX_SIDE
    ready = detector.to(where).eval().requires_grad_(False)
    return ready, network.to(where).eval().requires_grad_(False), provenance, device, side


HUMAN_IDENTITY = HumanIdentityNeed()
