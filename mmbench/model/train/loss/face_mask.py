"""Which latent cells show the face."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GROUP = 4
"""Frames of a latent frame, but for the first, which holds one."""


def mask_to_latent(pixels: Tensor, spatial: int = 8) -> Tensor:
    """A mask of the frames, bool [F, H, W] with F = 4k + 1, on the latent grid: bool [k + 1, H / s, W / s].

    A cell is set where any of its pixels is. Latent frame 0 is frame 0, latent frame k the union of frames
    4k - 3 to 4k. H and W are multiples of `spatial`.
    """
    cells = F.max_pool2d(pixels.float()[:, None], spatial)[:, 0] > 0
    return over_time(cells)


def over_time(cells: Tensor) -> Tensor:
    """Union over each latent frame's frames: bool [4k + 1, ...] -> bool [k + 1, ...]."""
    rest = cells[1:].reshape(-1, GROUP, *cells.shape[1:]).any(dim=1) if len(cells) > 1 else cells[:0]
    return torch.cat([cells[:1], rest])


def boxes_to_latent(boxes: Tensor, height: int, width: int, spatial: int = 8) -> Tensor:
    """`mask_to_latent` of the pixels in the boxes [F, 4] (left, top, right, bottom); NaN boxes hold none.

    A pixel (x, y), a unit square, belongs to the box that it shares some area with.
    """
    left, top, right, bottom = boxes.nan_to_num(nan=-1.0).unbind(dim=1)
    x = torch.arange(width // spatial)[None] * spatial
    y = torch.arange(height // spatial)[None] * spatial
    real = ((right > left) & (bottom > top))[:, None]
    columns = (left[:, None] < x + spatial) & (right[:, None] > x) & real
    rows = (top[:, None] < y + spatial) & (bottom[:, None] > y) & real
    return over_time(rows[:, :, None] & columns[:, None, :])
