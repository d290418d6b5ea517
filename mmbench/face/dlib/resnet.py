"""dlib's recogniser (dlib_face_recognition_resnet_model_v1, public domain) as a torch network, ten times as fast.

dlib's wheels multiply without a matrix library, so that this network was half of an evaluation's time, and they know no
GPU. The layers are those of dlib's examples/dnn_face_recognition_ex.cpp: a residual network of 29 convolutions, each
with an affine layer, which is folded into it here. Vectors differ from dlib's own by rounding (1e-6 of length 1.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.errors import WeightsError
from mmbench.face.dlib.stored import read_layers, take

SIDE: Final = 150
EMBEDDING_SIZE: Final = 128
MEAN: Final = (122.782, 117.001, 104.298)
"""What dlib's input layer takes off red, green and blue (0 to 255) before it divides by 256."""
_STEM: Final = (32, 7, 2)
_BLOCKS: Final = (
    *[(32, 1)] * 3,
    *[(64, 2), *[(64, 1)] * 3],
    *[(128, 2), *[(128, 1)] * 2],
    *[(256, 2), *[(256, 1)] * 2],
    (256, 2),
)
"""Filters and stride of each residual block."""


class DlibResNet(nn.Module):
    """Cuts [B, 3, 150, 150], red, green, blue from 0 to 255, to raw vectors float32 [B, 128] of length about 1.4."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters, side, stride = _STEM
        self.stem = nn.Conv2d(3, filters, side, stride)
        self.blocks = nn.ModuleList()
        for wide, step in _BLOCKS:
            self.blocks.append(_Block(filters, wide, step))
            filters = wide
        self.head = nn.Linear(filters, EMBEDDING_SIZE, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)

    def forward(self, cuts: Tensor) -> Tensor:
        """The raw vectors of a batch."""
        x = F.max_pool2d(torch.relu(self.stem((cuts - self.mean) / 256)), 3, 2)
        for block in self.blocks:
            x = block(x)
        vectors: Tensor = self.head(x.mean((2, 3)))
        return vectors

    def convolutions(self) -> Iterator[nn.Conv2d]:
        """In the file's order."""
        yield self.stem
        for block in self.blocks:
            assert isinstance(block, _Block)
            yield from (block.first, block.second)


class _Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, padding=1 if stride == 1 else 0)
        self.second = nn.Conv2d(outer, outer, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.second(torch.relu(self.first(x)))
        if self.first.stride[0] > 1:
            x = F.avg_pool2d(x, 2, 2)
        return torch.relu(_sum(x, inside))


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """The sum of maps of unlike sizes, each continued by zeros, as dlib adds them: new channels start at nothing."""
    channels, height, width = (max(a, b) for a, b in zip(one.shape[1:], other.shape[1:], strict=True))

    def continued(x: Tensor) -> Tensor:
        missing = (width - x.shape[3], height - x.shape[2], channels - x.shape[1])
        return F.pad(x, [side for size in missing for side in (0, size)]) if any(missing) else x

    return continued(one) + continued(other)


def load_resnet(path: Path | str) -> DlibResNet:
    """The network with dlib's weights, frozen. Raises WeightsError for the file of another network."""
    network = DlibResNet()
    *layers, head = read_layers(path)
    convolutions = list(network.convolutions())
    kinds = [layer.kind for layer in layers]
    if kinds != ["con", "affine"] * len(convolutions) or head.kind != "fc":
        raise WeightsError(f"{path}: holds other layers than dlib's recogniser.", "Fetch dlib-recogniser again.")
    try:
        for convolution, stored, affine in zip(convolutions, layers[::2], layers[1::2], strict=True):
            take(convolution, stored, affine)
        shape = (network.head.in_features, EMBEDDING_SIZE)
        network.head.weight.data = torch.from_numpy(head.numbers.reshape(shape).T.copy())
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: {error}.", "Fetch dlib-recogniser again.") from error
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
