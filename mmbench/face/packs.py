"""The face networks that generators were trained with: a detector and a recogniser of insightface, as packs.

The arithmetic is insightface's `FaceAnalysis`, which decides the cut and the vector that identity models know. Its
package is not used, although it needs no compiler any more: insightface 2.1 depends on `opencv-python`, which cannot
live beside the `opencv-python-headless` of this package. Both own the folder `cv2`, the one unpacked last wins, and
removing either leaves no `cv2` at all; and `import cv2` of opencv-python 5.0 fails on a machine without a display
library ("libxcb.so.1"), where the headless one works. With the headless one alone the classes do run, but `pip check`
objects, and importing them takes seconds, for scikit-image comes along.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.cut import aligned
from mmbench.face.insightface.arcface import ArcFace
from mmbench.face.insightface.scrfd import INPUT_SIDE, Scrfd
from mmbench.face.insightface.session import check_provider, import_onnx, open_session
from mmbench.weights.folders import file_of

if TYPE_CHECKING:
    from mmbench.face.types import Face
    from mmbench.video.clip import Frame


@dataclass(frozen=True)
class Pack:
    """Registry names of a detector and a recogniser that belong together."""

    detector: str
    recogniser: str

    @property
    def names(self) -> tuple[str, str]:
        """Both names, as a generator lists them among its files."""
        return self.detector, self.recogniser


BUFFALO_L = Pack("buffalo-l-det-10g", "buffalo-l-w600k-r50")
"""The evaluation's, Magic Mirror's, ID-Animator's and PhotoMaker's pack; non-commercial research only."""
ANTELOPE_V2 = Pack("consisid-scrfd-10g-bnkps", "consisid-glintr100")
"""ConsisID's pack; non-commercial research only."""


def open_analyser(pack: Pack, weights_dir: Path, device: str) -> PackFaces:
    """The pack's networks from files below `weights_dir`, on "cpu", "cuda" or "cuda:1".

    Raises MissingDependency without onnxruntime or without one that can use the GPU asked for, MMBenchError for a
    device onnxruntime does not have, MissingWeights, WeightsError.
    """
    check_provider(device)
    detector, recogniser = (file_of(name, weights_dir) for name in pack.names)
    return PackFaces(
        open_session(str(detector), device), open_session(str(recogniser), device), normalises_itself(recogniser)
    )


class PackFaces:
    """SCRFD and ArcFace as an `Analyser`, from two onnxruntime sessions; `plain` is `ArcFace`'s."""

    def __init__(self, detector: Any, recogniser: Any, plain: bool = False) -> None:
        self._detector = detector
        self._recogniser = ArcFace(recogniser, plain=plain)

    def find(self, picture: Frame, side: int = INPUT_SIDE) -> list[Face]:
        """All faces of an RGB picture fitted into a square of `side`, best first."""
        return Scrfd(self._detector, side).detect(picture)

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """ArcFace's raw vector of one face, (512,) float32."""
        return self.embed_cut(aligned(picture, face.points))

    def embed_cut(self, cut: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same of a 112 x 112 RGB cut that is already aligned."""
        vector: NDArray[np.float32] = self._recogniser.embed(cut[None])[0]
        return vector


def normalises_itself(path: Path) -> bool:
    """Whether a recogniser's graph begins by normalising its input, so that it takes values 0 to 255.

    Decided as insightface does: by a subtraction and a multiplication among the first eight nodes. Raises
    MissingDependency without onnx.
    """
    onnx = import_onnx()
    names = [node.name for node in onnx.load(str(path), load_external_data=False).graph.node[:8]]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    return subtracts and any(name.startswith(("Mul", "_mul")) for name in names)
