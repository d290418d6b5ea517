"""Trains the recognisers of the nano world and says how well they know people they have never seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from mmbench.face.nano.recogniser import VECTOR, NanoRecogniser
from mmbench.studies.nano.pictures import WorldPictures
from mmbench.synth.world.people import CLIPS, FRAMES

MARGIN: Final = 0.25
"""Of CosFace (Wang et al., CVPR 2018), reached after two fifths of the steps."""
SCALE: Final = 24.0
RATE: Final = 2e-3

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Recognition:
    """How well vectors tell people apart: shares in 0-1.

    `equal_error`: where false accepts and false rejects meet; `rank1` among all people, `rank1_in_group` among those of
    the person's own group; chance is 1 / people and 1 / people of the group.
    """

    equal_error: float
    rank1: float
    rank1_in_group: float
    people: int


def train_recogniser(
    pictures: WorldPictures,
    steps: int = 1500,
    batch: int = 256,
    seed: int = 0,
    widths: tuple[int, int, int] = (24, 48, 96),
    codec: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> NanoRecogniser:
    """A recogniser of the people of a split, by CosFace. Half of every batch goes through `codec`, which maps frames
    [B, 3, 1, 64, 64] to frames: what it will see of generated pictures has passed it too."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    device = pictures.device
    network = NanoRecogniser(widths).to(device)
    centres = nn.Parameter((torch.randn(pictures.people, VECTOR, generator=generator) * 0.05).to(device))
    optimiser = torch.optim.AdamW([*network.parameters(), centres], lr=RATE, weight_decay=2e-2)
    network.train()
    for step in range(steps):
        share = step / steps
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
        drawn = pictures.images(batch)
        seen = drawn.frames
        if codec is not None:
            with torch.no_grad():
                seen = torch.cat([codec(seen[: batch // 2]), seen[batch // 2 :]])
        vectors = nn.functional.normalize(network(varied(seen[:, :, 0], generator)), dim=1)
        cosines = vectors @ nn.functional.normalize(centres, dim=1).T
        people = drawn.people.to(device)
        margin = MARGIN * min(1.0, share / 0.4)
        logits = SCALE * (cosines - margin * nn.functional.one_hot(people, pictures.people))
        loss = nn.functional.cross_entropy(logits, people)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if progress is not None and step % 50 == 0:
            progress(step, steps, float(loss.detach()))
    return network.eval().requires_grad_(False)


def varied(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures [B, 3, 64, 64] shifted, scaled, brightened and grained a little, each in its own way."""
    batch, device = len(pictures), pictures.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    turn = torch.zeros(batch, 2, 3)
    turn[:, 0, 0] = turn[:, 1, 1] = uniform(0.9, 1.1)
    turn[:, 0, 2], turn[:, 1, 2] = uniform(-0.12, 0.12), uniform(-0.12, 0.12)
    grid = nn.functional.affine_grid(turn.to(device), list(pictures.shape), align_corners=False)
    moved = nn.functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    gain = uniform(0.88, 1.12, 1, 1, 1) * (1 + 0.04 * torch.randn(batch, 3, 1, 1, generator=generator))
    grain = 0.03 * torch.randn(pictures.shape, generator=generator)
    return ((moved + 1) * gain.to(device) - 1 + grain.to(device)).clamp(-1, 1)


@torch.no_grad()
def recognition(
    embed: Callable[[Tensor], Tensor], pictures: WorldPictures, codec: Callable[[Tensor], Tensor] | None = None
) -> Recognition:
    """How often `embed` [B, 3, 64, 64] -> [B, D] finds everybody of a split again.

    A still against frames of both clips and another still, every one before another wall. `codec` is applied to the
    queries.
    """
    people = torch.arange(pictures.people)
    first_still = CLIPS * FRAMES
    gallery = embed(pictures.pictures(people, torch.full((len(people), 1), first_still))[:, 0])
    queries, of_whom = [], []
    for picture in (2, FRAMES + 4, first_still + 2):
        shown = pictures.pictures(people, torch.full((len(people), 1), picture))[:, 0]
        if codec is not None:
            shown = codec(shown[:, :, None])[:, :, 0]
        queries.append(embed(shown))
        of_whom.append(people)
    return judged(gallery.cpu(), torch.cat(queries).cpu(), torch.cat(of_whom), pictures.groups)


def judged(gallery: Tensor, queries: Tensor, of_whom: Tensor, groups: Tensor) -> Recognition:
    """Recognition of queries [Q, D], each of person `of_whom` [Q], against one vector a person, gallery [P, D]."""
    cosines = nn.functional.normalize(queries.double(), dim=1) @ nn.functional.normalize(gallery.double(), dim=1).T
    own = torch.zeros_like(cosines, dtype=torch.bool)
    own[torch.arange(len(of_whom)), of_whom] = True
    same, other = cosines[own].sort().values, cosines[~own].sort().values
    limits = torch.cat([same, other]).unique()
    rejects = torch.searchsorted(same, limits) / len(same)
    accepts = 1 - torch.searchsorted(other, limits) / len(other)
    meet = int((rejects - accepts).abs().argmin())
    within = groups[of_whom][:, None] == groups[None]
    inside = cosines.masked_fill(~within, -2.0)
    return Recognition(
        equal_error=float((rejects[meet] + accepts[meet]) / 2),
        rank1=float((cosines.argmax(1) == of_whom).double().mean()),
        rank1_in_group=float((inside.argmax(1) == of_whom).double().mean()),
        people=len(gallery),
    )
