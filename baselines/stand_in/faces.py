"""Stand-In's face picture: the largest face, half as large again, on a white square, its background white."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmbench.device import beside_torch
from mmbench.errors import MissingDependency, how_to_install
from mmbench.face.geometry import largest
from mmbench.weights.folders import file_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.face.packs import PackFaces

CROP, DETECTOR_SIDE, AROUND, BORDER = 512, 640, 1.5, 10
PARSER = "consisid-bisenet"
WHITE = 255


class FaceCutter(Protocol):
    """Makes the picture that the branch sees."""

    def cut(self, picture: Image) -> Image: ...


class PlainCutter:
    """The whole picture, small: for tiny weights."""

    def __init__(self, side: int) -> None:
        self.side = side

    def cut(self, picture: Image) -> Image:
        """An RGB square of `side`."""
        return picture.convert("RGB").resize((self.side, self.side))


class ParsedCutter:
    """The published steps: antelopev2's detector, the cut, BiSeNet's parsing; the rest of the picture white."""

    def __init__(self, faces: PackFaces, parser: Any, device: str) -> None:
        self._faces, self._parser, self._device = faces, parser, device

    def cut(self, picture: Image) -> Image:
        """An RGB square of 512. Where no face is found it is the whole picture, as in the published code."""
        import cv2
        import torch
        from PIL import Image as Pil

        pixels = np.asarray(picture.convert("RGB"), dtype=np.uint8)
        found = self._faces.find(pixels, DETECTOR_SIDE)
        box = found[largest([face.box for face in found])].box if found else None
        square = on_square(around(pixels, box))
        small = np.asarray(cv2.resize(square, (CROP, CROP), interpolation=cv2.INTER_AREA), np.uint8)
        with torch.inference_mode():
            given = torch.from_numpy(small).permute(2, 0, 1)[None].float().to(self._device) / 127.5 - 1
            classes = self._parser(given)[0].argmax(dim=1)[0].cpu().numpy()
        return Pil.fromarray(np.where((classes == 0)[:, :, None], np.uint8(WHITE), small))


def around(pixels: NDArray[np.uint8], box: Any) -> NDArray[np.uint8]:
    """The part (H, W, 3) of a picture that a face's box (x1, y1, x2, y2) and half as much around it cover.

    The whole picture without a box, and where the face reaches all four borders.
    """
    height, width = pixels.shape[:2]
    if box is None:
        return pixels
    x1, y1, x2, y2 = (int(side) for side in box)
    if x1 <= BORDER and y1 <= BORDER and x2 >= width - BORDER and y2 >= height - BORDER:
        return pixels
    half = int(max(x2 - x1, y2 - y1) * AROUND) // 2
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    return pixels[max(y - half, 0) : min(y + half, height), max(x - half, 0) : min(x + half, width)]


def on_square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in the middle of a white square of its longer side."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def open_cutter(weights_dir: Path, device: str) -> ParsedCutter:
    """The networks from files below `weights_dir`. Raises MissingWeights, MissingDependency, WeightsError."""
    from mmbench.face.packs import ANTELOPE_V2, open_analyser

    parser = file_of(PARSER, weights_dir)
    try:
        from facexlib.parsing import init_parsing_model
    except ImportError as error:
        raise MissingDependency(
            f"Stand-In's face parser needs a package that is not installed: {error.name}.",
            f"pip install --no-deps facexlib, and {how_to_install('insightface')}",
        ) from error
    network = init_parsing_model(model_name="bisenet", device=device, model_rootpath=str(parser.parent)).eval()
    return ParsedCutter(open_analyser(ANTELOPE_V2, weights_dir, beside_torch(device)), network, device)
