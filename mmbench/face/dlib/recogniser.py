"""dlib's 128-d recogniser as face_recognition drives it: five-point alignment, padding 0.25, one clean pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MissingDependency
from mmbench.files import installed_version
from mmbench.scores import Provenance
from mmbench.weights.checked import checked

if TYPE_CHECKING:
    import types

    from mmbench.face.types import Face
    from mmbench.video.clip import Frame

CHIP_SIZE = 150
CHIP_PADDING = 0.25
EMBEDDING_SIZE = 128


class DlibRecogniser:
    """Cuts and embeds faces. Numbers equal `face_recognition.face_encodings` (model "small", one jitter).

    The embedding has 128 numbers of length about 1.4; an L2 distance up to 0.6 is dlib's "same person".
    `provenance` names its two files and dlib's version.
    """

    def __init__(self) -> None:
        dlib = import_dlib()
        weights: dict[str, str] = {}
        self._dlib = dlib
        self._points5 = dlib.shape_predictor(checked("dlib-landmarks-5", weights))
        self._network = dlib.face_recognition_model_v1(checked("dlib-recogniser", weights))
        self.provenance = Provenance("dlib", weights, {"dlib": dlib_version(dlib)})

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """The aligned face, (150, 150, 3) uint8 RGB; black where it reaches over the picture's border."""
        shape = self._points5(frame, rectangle(self._dlib, face.box))
        chip: NDArray[np.uint8] = self._dlib.get_face_chip(frame, shape, CHIP_SIZE, CHIP_PADDING)
        return chip

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 150, 150, 3) uint8 -> (M, 128) float32, not normalised; one pass over the network, in batches."""
        if not len(chips):
            return np.empty((0, EMBEDDING_SIZE), np.float32)
        vectors = self._network.compute_face_descriptor([np.ascontiguousarray(chip) for chip in chips])
        return np.asarray(vectors, dtype=np.float32)


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
