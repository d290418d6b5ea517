"""The identity loss: 1 - cos between the reference and the face of the decoded clean estimate.

No detector runs in the graph: the record's own five points of frame 0 say where the face is. The latents
around it are decoded, the face is turned to the recogniser's template by `grid_sample`, and a frozen
recogniser gives the vector. Only where the estimate means something: at low noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbench.face.cut import SIDE, TEMPLATE, similarity

Decode = Callable[[Tensor], Tensor]
"""Unscaled latents [B, T', C, h, w] to frames [B, F, 3, H, W] in [-1, 1], with gradients."""


class Recogniser(Protocol):
    """A frozen face recogniser with gradients: RGB cuts [n, 3, side, side] in [-1, 1] to vectors [n, E]."""

    side: int

    def __call__(self, cuts: Tensor) -> Tensor:
        """Vectors [n, E], not normalised."""


@dataclass(frozen=True)
class IdentityLossOptions:
    """weight: lambda is weight * abar_t. max_timestep: no loss above it (336: abar >= 0.5). crop: side of the latent
    crop around the face, in cells. latents: latent frames that are decoded to see frame 0; the decoder's statistics
    span three, so 3 gives frame 0 as the whole clip's decoding has it, 1 is cheaper and approximate."""

    weight: float = 0.1
    max_timestep: int = 336
    crop: int = 24
    latents: int = 3


class IdentityLoss:
    """Adds up what a batch's low-noise samples lose in identity."""

    def __init__(
        self, decode: Decode, recogniser: Recogniser, spatial: int = 8, options: IdentityLossOptions | None = None
    ) -> None:
        self.decode, self.recogniser, self.spatial = decode, recogniser, spatial
        self.options = options or IdentityLossOptions()

    def applies(self, t: Tensor, points: Tensor, keep_identity: Tensor) -> Tensor:
        """Which samples count, bool [B]: little noise, identity kept, a face in frame 0."""
        return (t <= self.options.max_timestep) & keep_identity & points.flatten(1).isfinite().all(dim=1)

    def __call__(
        self, x0: Tensor, abar: Tensor, t: Tensor, points: Tensor, target: Tensor, keep_identity: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted loss of each sample, float32 [B] (0 where it does not apply), and the cosines, NaN there.

        x0 [B, T', C, h, w]: the clean estimate, unscaled. abar [B]. t int64 [B]. points [B, 5, 2]: in pixels of
        frame 0. target [B, E]: the reference's vector by the same recogniser.
        """
        loss, cosines = torch.zeros_like(abar), torch.full_like(abar, torch.nan)
        chosen = self.applies(t, points, keep_identity).nonzero()[:, 0]
        if not len(chosen):
            return loss, cosines
        vectors = self.embed(x0[chosen], points[chosen])
        cosine = F.cosine_similarity(vectors.float(), target[chosen].float(), dim=-1)
        weighted = self.options.weight * abar[chosen] * (1 - cosine)
        return loss.index_put((chosen,), weighted), cosines.index_put((chosen,), cosine.detach())

    def embed(self, x0: Tensor, points: Tensor) -> Tensor:
        """Vectors [n, E] of the faces in frame 0 of clean estimates [n, T', C, h, w], points [n, 5, 2]."""
        crops, shifts = [], []
        side = min(self.options.crop, *x0.shape[-2:])
        for latents, five in zip(x0, points, strict=True):
            top, left = crop_corner(five, side, self.spatial, (x0.shape[-2], x0.shape[-1]))
            crops.append(latents[: self.options.latents, :, top : top + side, left : left + side])
            shifts.append((left * self.spatial, top * self.spatial))
        frames = self.decode(torch.stack(crops))[:, 0]
        local = points - torch.tensor(shifts, dtype=points.dtype, device=points.device)[:, None]
        return self.recogniser(align(frames.float(), local, self.recogniser.side))


def crop_corner(points: Tensor, side: int, spatial: int, grid: tuple[int, int]) -> tuple[int, int]:
    """Top and left cell of the square of `side` cells whose middle is nearest the points' and that lies in the grid."""
    middle = (points.amin(dim=0) + points.amax(dim=0)) / 2 / spatial - side / 2
    left, top = (round(float(x)) for x in middle)
    return min(max(top, 0), grid[0] - side), min(max(left, 0), grid[1] - side)


def align(frames: Tensor, points: Tensor, side: int = SIDE) -> Tensor:
    """Faces turned and scaled so that five points lie nearest the template: [n, 3, H, W] -> [n, 3, side, side].

    The same cut as `mmbench.face.cut.aligned`, bilinear, black (-1) outside the picture, with gradients to
    the frames. points [n, 5, 2] in pixels.
    """
    height, width = frames.shape[-2:]
    ys, xs = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    cells = torch.stack([xs, ys], dim=-1).double()
    grids = []
    for five in points.detach().cpu().double().numpy():
        matrix = torch.from_numpy(similarity(five, TEMPLATE * side / SIDE))
        source = torch.linalg.solve(matrix[:, :2], (cells - matrix[:, 2]).flatten(0, 1).T).T
        grids.append(source.reshape(side, side, 2))
    size = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    grid = (2 * torch.stack(grids) / size - 1).to(frames)
    # black is -1 and grid_sample pads with 0: shift by one there and back
    cut: Tensor = F.grid_sample(frames + 1, grid, mode="bilinear", padding_mode="zeros", align_corners=True) - 1
    return cut
