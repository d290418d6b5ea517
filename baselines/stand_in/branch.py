"""Stand-In's branch: the face's own tokens, seen by the video's in every self-attention, never the other way round.

The face is a picture's latents at time 0. Its tokens pass through the same blocks as the video's, without
cross-attention, with adapters on query, key and value; they attend to each other alone. So they depend on neither
video, text nor step, and their keys and values are found once. Their places in the rotary embedding are time -1 and the
rows and columns behind those of the video (Stand-In, Xue et al. 2025, section 3; github.com/WeChatCV/Stand-In,
`models/wan_video_dit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from mmbench.baselines.wan.blocks import (
    answer,
    attended,
    conditions,
    gated,
    heads,
    joined,
    modulated,
    patches,
    six,
    turns,
)

if TYPE_CHECKING:
    from torch import Tensor

RANK: Final = 128


class Adapter(nn.Module):
    """A low-rank addition to a linear layer, in float32; zero until it is trained."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, width) to the same shape and dtype."""
        added: Tensor = self.up(self.down(tokens.to(self.down.weight.dtype)))
        return added.to(tokens.dtype)


class FaceAttention(nn.Module):
    """The adapters of one self-attention, under the published names."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.q_loras, self.k_loras, self.v_loras = (Adapter(width, rank) for _ in range(3))


class FaceBlock(nn.Module):
    """The adapters of one block."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.self_attn = FaceAttention(width, rank)


class FaceAdapters(nn.Module):
    """All adapters of a transformer: keys `blocks.N.self_attn.{q,k,v}_loras.{down,up}.weight`."""

    def __init__(self, layers: int, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FaceBlock(width, rank) for _ in range(layers))

    def each(self) -> list[FaceBlock]:
        """The adapters block by block."""
        return [block for block in self.blocks if isinstance(block, FaceBlock)]


@dataclass(frozen=True)
class FaceTokens:
    """Keys and values of the face's tokens, a pair a block, each (B, heads, N, D)."""

    seen: tuple[tuple[Tensor, Tensor], ...]


def see_face(
    transformer: Any, adapters: FaceAdapters, latents: Tensor, text: Tensor, video: Sequence[int]
) -> FaceTokens:
    """The face's keys and values. `latents` [1, 16, 1, h, w], `text` any embedded prompt (it does not enter).

    `video` is the video's grid of patches (frames, rows, columns), behind which the face lies.
    """
    tokens, (_, rows, columns) = patches(transformer, latents)
    _, modulation, _ = conditions(transformer, torch.zeros(1, device=latents.device), text)
    _, above, left = video
    places = turns(transformer, [-1], range(above, above + rows), range(left, left + columns), latents.device)
    seen = []
    for block, adapted in zip(transformer.blocks, adapters.each(), strict=True):
        attention, added = block.attn1, adapted.self_attn
        shift, scale, gate, shift_ff, scale_ff, gate_ff = six(block, modulation)
        normed = modulated(block.norm1, tokens, shift, scale)
        query = heads(attention, attention.norm_q(attention.to_q(normed) + added.q_loras(normed)), places)
        key = heads(attention, attention.norm_k(attention.to_k(normed) + added.k_loras(normed)), places)
        value = heads(attention, attention.to_v(normed) + added.v_loras(normed))
        seen.append((key, value))
        tokens = gated(tokens, joined(attention, attended(query, key, value)), gate)
        tokens = gated(tokens, block.ffn(modulated(block.norm3, tokens, shift_ff, scale_ff)), gate_ff)
    return FaceTokens(tuple(seen))


def velocity_with(transformer: Any, face: FaceTokens | None, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    """`blocks.answer`, where the video's tokens see the face too; without one it is the stock network.

    `latents` [1, 16, T, h, w] in the transformer's dtype, `timestep` [1], `text` [1, L, C]; the velocity, float32.
    """

    def seeing(number: int, attention: Any, tokens: Tensor, places: Tensor) -> Tensor:
        query = heads(attention, attention.norm_q(attention.to_q(tokens)), places)
        key = heads(attention, attention.norm_k(attention.to_k(tokens)), places)
        value = heads(attention, attention.to_v(tokens))
        if face is not None:
            own, its = (key, value), face.seen[number]
            key, value = (torch.cat(pair, dim=2) for pair in zip(own, its, strict=True))
        return joined(attention, attended(query, key, value))

    return answer(transformer, latents, timestep, text, own=seeing)
