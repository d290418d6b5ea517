"""RAFT's correlation volume: built for a pair of frames, looked up around the current flow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def correlation_pyramid(features: Tensor, next_features: Tensor, levels: int) -> list[Tensor]:
    """All-pairs correlation (RAFT, equation 1) and its average-pooled levels.

    Each level is (B * h * w, 1, h / 2**level, w / 2**level): the row of one cell against the next frame.
    """
    import torch
    import torch.nn.functional as F

    batch, channels, height, width = features.shape
    rows = features.flatten(2).transpose(1, 2)
    volume = torch.matmul(rows, next_features.flatten(2)).div_(math.sqrt(channels))
    pyramid = [volume.view(batch * height * width, 1, height, width)]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], kernel_size=2, stride=2))
    return pyramid


def coordinates(height: int, width: int, device: Any) -> Tensor:
    """Own position of each cell, x first: float32 (1, 2, height, width)."""
    import torch

    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])[None]


class CorrelationLookup:
    """Bilinear samples of every level in a square window about each cell's target (RAFT, section 3.2).

    The same samples as torchvision's `CorrBlock.index_pyramid`, its window's order included (rows of the window
    step in x), in fewer passes over memory: the window is normalised once a pair, and the result stays channels
    last, as it is written.
    """

    def __init__(self, pyramid: list[Tensor], radius: int) -> None:
        import torch

        self._pyramid = pyramid
        span = torch.arange(-radius, radius + 1, device=pyramid[0].device, dtype=torch.float32)
        window = torch.stack(torch.meshgrid(span, span, indexing="ij"), dim=-1)
        self._scales = [window.new_tensor([2 / (level.shape[3] - 1), 2 / (level.shape[2] - 1)]) for level in pyramid]
        self._windows = [window * scale - 1 for scale in self._scales]

    def __call__(self, centres: Tensor) -> Tensor:
        """Samples about `centres` (B, 2, h, w), x first, in cells: (B, levels * (2 radius + 1)**2, h, w)."""
        import torch
        import torch.nn.functional as F

        batch, _, height, width = centres.shape
        points = centres.permute(0, 2, 3, 1).reshape(batch * height * width, 1, 1, 2)
        samples = []
        for index, (level, scale, window) in enumerate(zip(self._pyramid, self._scales, self._windows, strict=True)):
            grid = points * (scale / 2**index) + window
            looked_up = F.grid_sample(level, grid, mode="bilinear", align_corners=True)
            samples.append(looked_up.view(batch, height, width, -1))
        return torch.cat(samples, dim=-1).permute(0, 3, 1, 2)
