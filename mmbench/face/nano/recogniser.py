"""A small recogniser of the nano world's people: the identity vector and the dense map that condition the nano model.

It takes the part of ArcFace and CLIP where Magic Mirror is small enough for a processor, and never judges: identity is
measured by dlib, or by a second network of this class that took no part in training.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmbench.errors import WeightsError
from mmbench.face.cut import SIDE as ARCFACE_SIDE
from mmbench.face.cut import TEMPLATE, square_cut
from mmbench.face.types import Face

if TYPE_CHECKING:
    from mmbench.video.clip import Frame

SIDE: Final = 64
"""Pixels a side of the pictures it takes."""
VECTOR: Final = 64
"""Width of the identity vector."""


class _Residual(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        plain = stride == 1 and inner == outer
        self.skip = nn.Identity() if plain else nn.Conv2d(inner, outer, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.skip(x) + self.norm2(self.conv2(inside)))


class NanoRecogniser(nn.Module):
    """Pictures float [B, 3, 64, 64] in [-1, 1], head and shoulders, to raw vectors [B, 64].

    `features` gives the 8x8 map [B, 64, C] before pooling, C = widths[-1]: the counterpart of CLIP's patch tokens.
    """

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        self.widths = widths
        first, second, third = widths
        self.stem = nn.Sequential(nn.Conv2d(3, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.trunk = nn.Sequential(_Residual(first, second, 2), _Residual(second, third, 2), _Residual(third, third, 1))
        self.pool = nn.Conv2d(third, 32, 1)
        self.head = nn.Linear(32 * 64, VECTOR)
        self.norm = nn.BatchNorm1d(VECTOR)

    def features(self, pictures: Tensor) -> Tensor:
        """The map, one row a cell: [B, 64, C]."""
        grid: Tensor = self.trunk(self.stem(pictures))
        return grid.flatten(2).transpose(1, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        """Raw identity vectors [B, 64]; compare them by cosine."""
        grid = self.trunk(self.stem(pictures))
        vectors: Tensor = self.norm(self.head(torch.relu(self.pool(grid)).flatten(1)))
        return vectors

    def save(self, path: Path, facts: dict[str, str] | None = None) -> None:
        """One safetensors file, half precision, with the widths and `facts` (text) in its metadata."""
        from safetensors.torch import save_file

        state = {
            name: value.half() if value.is_floating_point() else value for name, value in self.state_dict().items()
        }
        save_file(state, path, {"widths": ",".join(map(str, self.widths)), **(facts or {})})


class NanoFaces:
    """The `Analyser` of the trained nano model: the whole picture is the face, its vector the recogniser's.

    The nano world's references are heads and shoulders already. A picture of one colour has no face.
    """

    def __init__(self, recogniser: NanoRecogniser) -> None:
        self.recogniser = recogniser

    def find(self, picture: Frame, side: int = SIDE) -> list[Face]:
        """One face, the largest square in the middle, or none. `side` changes nothing."""
        return [] if float(picture.std(axis=(0, 1)).max()) < 1.0 else [self.whole(picture)]

    def whole(self, picture: Frame) -> Face:
        """The largest square in the middle, taken for a face."""
        height, width = picture.shape[:2]
        extent = min(height, width)
        left, top = (width - extent) // 2, (height - extent) // 2
        box = np.array([left, top, left + extent, top + extent], dtype=np.float64)
        points = TEMPLATE * (extent / ARCFACE_SIDE) + box[:2]
        return Face(box=box, score=1.0, points=points, points68=None, tight_box=box)

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """(64,) float32, raw."""
        cut = torch.from_numpy(square_cut(picture, face.box, SIDE, margin=1.0)).permute(2, 0, 1)
        weight = next(self.recogniser.parameters())
        seen = (cut.to(weight) / 127.5 - 1)[None]
        with torch.no_grad():
            return np.asarray(self.recogniser(seen)[0].float().cpu().numpy())


def load_recogniser(path: Path, device: str | torch.device = "cpu") -> NanoRecogniser:
    """A frozen recogniser from its file. Raises WeightsError for a file of another kind."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            widths = tuple(int(width) for width in file.metadata()["widths"].split(","))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        first, second, third = widths
        network = NanoRecogniser((first, second, third))
        network.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as cause:
        raise WeightsError(
            f"{path} is no recogniser of the nano world: {cause}.", "Train one: mmbench nano eyes."
        ) from cause
    return network.eval().requires_grad_(False).to(device)
