"""dlib's 128-d recogniser as face_recognition drives it: five-point alignment, padding 0.25, one clean pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmbench.device import multiplied, torch_device
from mmbench.errors import MissingDependency
from mmbench.face.dlib.resnet import EMBEDDING_SIZE, SIDE, load_resnet
from mmbench.files import installed_version
from mmbench.scores import Provenance
from mmbench.weights.checked import checked

if TYPE_CHECKING:
    import types

    from mmbench.face.types import Face
    from mmbench.video.clip import Frame

CHIP_SIZE = SIDE
CHIP_PADDING = 0.25
BATCH = 8
"""Cuts of every forward, the last one filled up: so a vector does not depend on who stands beside its cut."""


class DlibRecogniser:
    """Cuts and embeds faces. Numbers equal `face_recognition.face_encodings` (model "small", one jitter) to rounding.

    The embedding has 128 numbers of length about 1.4; an L2 distance up to 0.6 is dlib's "same person". The network
    runs in torch on `device`, in float32; the alignment is dlib's. `provenance` names its two files and the versions.
    Raises MissingDependency, MissingWeights, WeightsError, or MMBenchError where there is no such device.
    """

    def __init__(self, device: str = "cpu") -> None:
        dlib = import_dlib()
        weights: dict[str, str] = {}
        self._dlib = dlib
        self._device = torch_device(device)
        self._points5 = dlib.shape_predictor(checked("dlib-landmarks-5", weights))
        self._network = load_resnet(checked("dlib-recogniser", weights)).to(self._device)
        versions = {"dlib": dlib_version(dlib), "torch": torch.__version__}
        if self._device.type != "cpu":
            versions["device"] = str(self._device)
        self.provenance = Provenance("dlib", weights, versions)

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """The aligned face, (150, 150, 3) uint8 RGB; black where it reaches over the picture's border."""
        shape = self._points5(frame, rectangle(self._dlib, face.box))
        chip: NDArray[np.uint8] = self._dlib.get_face_chip(frame, shape, CHIP_SIZE, CHIP_PADDING)
        return chip

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 150, 150, 3) uint8 -> (M, 128) float32, not normalised."""
        rows = [np.empty((0, EMBEDDING_SIZE), np.float32)]
        for start in range(0, len(chips), BATCH):
            part = np.asarray(chips[start : start + BATCH])
            filled = np.zeros((BATCH, CHIP_SIZE, CHIP_SIZE, 3), np.float32)
            filled[: len(part)] = part
            with torch.inference_mode(), multiplied(self._device, "fp32"):
                vectors = self._network(torch.from_numpy(filled).to(self._device).permute(0, 3, 1, 2))
            rows.append(vectors[: len(part)].cpu().numpy())
        return np.concatenate(rows)


def import_dlib() -> types.ModuleType:
    """The dlib module. Raises MissingDependency, naming the package that has wheels, where it is absent."""
    try:
        import dlib
    except ImportError as error:
        raise MissingDependency(
            f"dlib cannot be imported: {error}.", "Install its wheels: pip install dlib-bin."
        ) from error
    module: types.ModuleType = dlib
    return module


def dlib_version(dlib: types.ModuleType) -> str:
    """Version of the distribution with wheels, else of the module."""
    return installed_version("dlib-bin") or str(dlib.__version__)


def rectangle(dlib: types.ModuleType, box: Sequence[float] | NDArray[np.floating[Any]]) -> Any:
    """A dlib rectangle (whole pixels, both corners inside) from (left, top, right, bottom)."""
    left, top, right, bottom = (round(float(side)) for side in box)
    return dlib.rectangle(left, top, right, bottom)
