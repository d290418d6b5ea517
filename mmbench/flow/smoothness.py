"""How much the motion of a point changes from one sampled frame to the next: the terms of motion smoothness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NOISE_PX = 0.05
"""Flow length, at 480 px of short side, below which change does not count (keeps a still clip at 0)."""


@dataclass(frozen=True)
class SmoothnessTerm:
    """How much the motion changes between two consecutive flows.

    `ratio` in [0, 1] (0 constant velocity, 1 stop-and-go), `acceleration` in short sides per sampled step squared,
    `valid` the share of pixels compared. The first two are NaN when `valid` is 0.
    """

    ratio: float
    acceleration: float
    valid: float


def smoothness_term(flow: Tensor, next_flow: Tensor) -> SmoothnessTerm:
    """Compare the flow F from frame t to t+1 with the flow from t+1 to t+2 pulled back along F.

    Both are float32 (2, H, W) in pixels (x first), unpadded. With G(x) = next_flow(x + F(x)), bilinear,
    over the pixels whose x + F(x) lies in the image: ratio = sum |G - F| / sum(|G| + |F| + eps), eps = 0.05
    px at 480 px of short side. The two sums are related by the triangle inequality, hence the bound of 1.
    """
    import torch
    import torch.nn.functional as F

    _, height, width = flow.shape
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    x, y = columns + flow[0], rows[:, None] + flow[1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    count = int(inside.sum())
    if count == 0:
        return SmoothnessTerm(math.nan, math.nan, 0.0)
    grid = torch.stack([2 * x / max(1, width - 1) - 1, 2 * y / max(1, height - 1) - 1], dim=-1)
    pulled = F.grid_sample(next_flow[None], grid[None], mode="bilinear", align_corners=True)[0]
    outside = ~inside
    change = _total_length(pulled - flow, outside)
    length = _total_length(pulled, outside) + _total_length(flow, outside)
    short = min(height, width)
    epsilon = NOISE_PX * short / 480
    return SmoothnessTerm(
        ratio=float(change / (length + epsilon * count)),
        acceleration=float(change / count / short),
        valid=count / (height * width),
    )


def _total_length(field: Tensor, outside: Tensor) -> Tensor:
    """Sum of the lengths of a field's vectors (2, H, W), float64, but for those outside.

    `vector_norm` over a leading dimension of two and picking by a mask take ten times as long.
    """
    import torch

    return torch.hypot(field[0], field[1]).masked_fill_(outside, 0).sum(dtype=torch.float64)
