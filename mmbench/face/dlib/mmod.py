"""dlib's CNN face detector (mmod_human_face_detector, CC0) as a torch network: seven times as fast, on any device.

Facts of dlib 20: the picture and its smaller copies, each 5/6 of the one before, lie in one canvas (image_pyramid.h,
`create_tiled_pyramid`), seven convolutions score every eighth pixel of it (the network of
examples/dnn_mmod_face_detection_ex.cpp, whose affine layers are folded in here), and each score above 0 is a window of
80 pixels, mapped back to the picture; of those that overlap the best is kept (dnn/loss.h, `loss_mmod_`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.errors import WeightsError
from mmbench.face.dlib.resnet import MEAN
from mmbench.face.dlib.stored import read_layers, take

if TYPE_CHECKING:
    from mmbench.video.clip import Frame

WINDOW: Final = 80
"""Side of the window in the canvas, from the file's options."""
OVERLAP: Final = 0.3382761351109955
"""Share of two windows' enclosing box that they may have in common, from the file's options."""
_LEVELS: Final = 6  # each copy has (6 - 1) / 6 of the sides of the one before
_RATE: Final = (_LEVELS - 1.0) / _LEVELS
_BETWEEN, _AROUND, _LEAST_HEIGHT, _LEAST_CANVAS = 10, 11, 5, 29
# filters, side, stride, padding
_LAYERS: Final = (
    (16, 5, 2, 0),
    (32, 5, 2, 0),
    (32, 5, 2, 0),
    (45, 5, 1, 2),
    (45, 5, 1, 2),
    (45, 5, 1, 2),
    (1, 9, 1, 4),
)


class Tile(NamedTuple):
    """Where a copy of the picture lies in the canvas: corner and size in pixels."""

    left: int
    top: int
    width: int
    height: int


class Detection(NamedTuple):
    """A face's box, both corners inside, whole pixels of the picture, and its score above 0."""

    left: int
    top: int
    right: int
    bottom: int
    score: float


class Mmod(nn.Module):
    """Canvases [1, 3, H, W] to scores [H', W'], about an eighth of the size."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        self.layers = nn.ModuleList()
        for filters, side, stride, padding in _LAYERS:
            self.layers.append(nn.Conv2d(channels, filters, side, stride, padding))
            channels = filters

    def forward(self, canvas: Tensor) -> Tensor:
        """The scores; a window stands about each of them."""
        x = canvas
        for number, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if number else x)
        return x[0, 0]

    def detect(self, frame: Frame) -> list[Detection]:
        """Faces of a frame (H, W, 3) uint8 RGB, best first."""
        height, width = frame.shape[:2]
        tiles, size = tile(height, width)
        if min(size) < _LEAST_CANVAS:  # less than the convolutions take; dlib's own ends the process there
            return []
        where = next(self.parameters()).device
        scores = self(_canvas(torch.from_numpy(frame.copy()).to(where), tiles, size)).cpu()
        found = []
        for row, column in (scores > 0).nonzero().tolist():
            found.append((float(scores[row, column]), _window(row, column, tiles)))
        kept: list[Detection] = []
        for score, box in sorted(found, key=lambda one: -one[0]):
            if not any(_same(box, other[:4]) for other in kept):
                kept.append(Detection(*box, score))
        return kept


def load_mmod(path: Path | str) -> Mmod:
    """The network with dlib's weights, frozen. Raises WeightsError for the file of another network."""
    network, stored = Mmod(), read_layers(path)
    if [layer.kind for layer in stored] != ["con", "affine"] * (len(_LAYERS) - 1) + ["con"]:
        raise WeightsError(f"{path}: holds other layers than dlib's face detector.", "Fetch dlib-detector-mmod again.")
    affine = [*stored[1::2], None]
    try:
        for layer, held, behind in zip(network.layers, stored[::2], affine, strict=True):
            take(layer, held, behind)
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: {error}.", "Fetch dlib-detector-mmod again.") from error
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def tile(height: int, width: int) -> tuple[list[Tile], tuple[int, int]]:
    """Where the copies of a picture lie, largest first, and the canvas's height and width.

    One column downwards until the next copy fits beside the last one, then a second one upwards at the right; copies
    that would cover the picture itself are left out.
    """
    sizes = [(height, width)]
    while True:
        height, width = math.floor(_RATE * height), math.floor(_RATE * width)
        if height * width == 0 or height < _LEAST_HEIGHT:
            break
        sizes.append((height, width))
    column, wide = _first_column(sizes), sizes[0][1]
    tiles: list[Tile] = []
    top = _AROUND
    while len(tiles) < len(sizes) and top < column + _AROUND:
        high, across = sizes[len(tiles)]
        tiles.append(Tile(_AROUND, top, across, high))
        top += high + _BETWEEN
    bottom = top - _BETWEEN - 1
    for high, across in sizes[len(tiles) :]:
        placed = Tile(_AROUND + wide - across, bottom - high + 1, across, high)
        if placed.top < _AROUND + sizes[0][0] and placed.left < _AROUND + wide:
            break
        tiles.append(placed)
        bottom -= high + _BETWEEN
    return tiles, (column + 2 * _AROUND, wide + 2 * _AROUND)


def _first_column(sizes: list[tuple[int, int]]) -> int:
    """Height of the first column of copies."""
    first, wide = sizes[0]
    total = sum(height + _BETWEEN for height, _ in sizes) - 2 * _BETWEEN
    column, before = 0, 0
    for height, width in sizes:
        if width <= wide - before - _BETWEEN and (column - first) * 2 >= total - first:
            break
        column += height + _BETWEEN
        before = width
    return column - _BETWEEN


def _canvas(frame: Tensor, tiles: list[Tile], size: tuple[int, int]) -> Tensor:
    """The canvas [1, 3, H, W]: the frame less its mean over 256 and its copies, each made of the one before."""
    mean = torch.tensor(MEAN, device=frame.device)
    copy = ((frame.float() - mean) / 256).permute(2, 0, 1)[None]
    canvas = copy.new_zeros(1, 3, *size)
    for number, (left, top, width, height) in enumerate(tiles):
        if number:
            copy = F.interpolate(copy, (height, width), mode="bilinear", align_corners=True)
        canvas[:, :, top : top + height, left : left + width] = copy
    return canvas.contiguous(memory_format=torch.channels_last)


def _window(row: int, column: int, tiles: list[Tile]) -> tuple[int, int, int, int]:
    """The window about a score, in whole pixels of the picture: left, top, right, bottom, both inside."""
    x, y = float(column), float(row)
    for _, side, stride, padding in reversed(_LAYERS):
        x, y = x * stride - padding + side // 2, y * stride - padding + side // 2
    level = _nearest(_round(x), _round(y), tiles)
    half = (WINDOW - 1) / 2
    sides = []
    for value, corner in (
        (x - half, tiles[level].left),
        (y - half, tiles[level].top),
        (x + half, tiles[level].left),
        (y + half, tiles[level].top),
    ):
        value -= corner
        for _ in range(level):
            value = value * (_LEVELS / (_LEVELS - 1.0)) + 0.3
        sides.append(_round(value))
    left, top, right, bottom = sides
    return left, top, right, bottom


def _nearest(x: int, y: int, tiles: list[Tile]) -> int:
    """The copy that a point lies in, or the nearest one."""

    def away(number: int) -> float:
        left, top, width, height = tiles[number]
        beside = max(left - x, 0, x - (left + width - 1))
        return math.hypot(beside, max(top - y, 0, y - (top + height - 1)))

    return min(range(len(tiles)), key=away)


def _same(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two windows have more than `OVERLAP` of their enclosing box in common."""
    common = _area(max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    around = _area(min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
    return common > OVERLAP * around


def _area(left: int, top: int, right: int, bottom: int) -> int:
    return max(0, right - left + 1) * max(0, bottom - top + 1)


def _round(value: float) -> int:
    """To the nearest whole number, halves away from 0, as C does."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
