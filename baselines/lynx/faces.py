"""Lynx' two views of a face: a recogniser's vector, and the face cut out wider than recognisers see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmbench.device import beside_torch
from mmbench.errors import MissingDependency, ReferenceFaceError
from mmbench.face.cut import TEMPLATE, aligned, similarity
from mmbench.face.geometry import largest
from mmbench.face.stand_in import PictureFaces
from mmbench.weights.folders import file_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.face.packs import PackFaces

RECOGNISER = "facexlib-arcface-ir-se50"
CUT, WIDER, LOWER, SPAN = 256, 0.8, 10.0, 112.0
DETECTOR_SIDE = 640


@dataclass(frozen=True)
class FaceViews:
    """`vector` (512,) float32, `picture` the wider cut, RGB."""

    vector: NDArray[np.float32]
    picture: Image


class FaceViewer(Protocol):
    """Reads a reference picture. Raises ReferenceFaceError without a face."""

    def views(self, picture: Image) -> FaceViews: ...


class PlainViewer:
    """A stand-in's vector and the whole picture, small: for tiny weights; recognises nobody."""

    def __init__(self, side: int) -> None:
        self.side = side

    def views(self, picture: Image) -> FaceViews:
        """A vector that follows from the pixels, and an RGB square of `side`."""
        pixels, faces = np.asarray(picture.convert("RGB"), dtype=np.uint8), PictureFaces()
        vector = np.resize(faces.embed(pixels, faces.find(pixels)[0]), 512).astype(np.float32)
        return FaceViews(vector, picture.convert("RGB").resize((self.side, self.side)))


class RecognisedViewer:
    """The published steps: buffalo_l's detector, facexlib's ArcFace (IR-SE50), the cut of 256 px."""

    def __init__(self, faces: PackFaces, recogniser: Any, device: str) -> None:
        self._faces, self._recogniser, self._device = faces, recogniser, device

    def views(self, picture: Image) -> FaceViews:
        """Vector and cut of the largest face."""
        import torch
        from PIL import Image as Pil

        pixels = np.asarray(picture.convert("RGB"), dtype=np.uint8)
        # The published code hands the detector, which expects blue first, its pictures with red first.
        found = self._faces.find(np.ascontiguousarray(pixels[:, :, ::-1]), DETECTOR_SIDE)
        if not found:
            said = "Lynx' detector finds no face in the first reference picture."
            raise ReferenceFaceError(said, "Put a sharper or more frontal picture first.")
        points = found[largest([face.box for face in found])].points
        cut = aligned(pixels, points)
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(cut[:, :, ::-1])).permute(2, 0, 1)[None].float() / 127.5 - 1
            vector = self._recogniser(given.to(self._device))[0].float().cpu().numpy()
        return FaceViews(vector, Pil.fromarray(wider_cut(pixels, points)))


def wider_cut(pixels: NDArray[np.uint8], points: NDArray[Any]) -> NDArray[np.uint8]:
    """The face upright in a square of 256 px (RGB), its five points at 0.8 of ArcFace's distances from the middle.

    Black where the cut reaches over the picture's border.
    """
    import cv2

    template = TEMPLATE + np.array([0.0, LOWER])
    template = ((template - SPAN / 2) * WIDER + SPAN / 2) * (CUT / 128) + np.array([8.0 * CUT / 128, 0.0])
    matrix = similarity(points, template.astype(points.dtype))
    return np.asarray(cv2.warpAffine(pixels, matrix, (CUT, CUT), borderValue=0.0), dtype=np.uint8)


def open_viewer(weights_dir: Path, device: str) -> RecognisedViewer:
    """The networks from files below `weights_dir`. Raises MissingWeights, MissingDependency, WeightsError."""
    from mmbench.baselines.loading.checkpoint import read_tensors, tensors_only
    from mmbench.face.packs import BUFFALO_L, open_analyser
    from mmbench.weights.load import load_strict

    path = file_of(RECOGNISER, weights_dir)
    try:
        from facexlib.recognition.arcface_arch import Backbone
    except ImportError as error:
        raise MissingDependency(
            f"Lynx' recogniser needs a package that is not installed: {error.name}.", "pip install --no-deps facexlib"
        ) from error
    network = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se").eval()
    load_strict(network, tensors_only(read_tensors(path), path), str(path))
    return RecognisedViewer(open_analyser(BUFFALO_L, weights_dir, beside_torch(device)), network.to(device), device)
