"""The steps of diffusers' `WanTransformer3DModel`, for models that change its attention.

`answer` is the whole network; `own` and `cross` stand in for a block's self- and cross-attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn import functional

from mmbench.baselines.wan.loop import at_hand

if TYPE_CHECKING:
    from torch import Tensor

    Own = Callable[[int, Any, Tensor, Tensor], Tensor]
    """(block, its attention, tokens [B, N, width], their places of `turns`) to tokens of that shape."""
    Cross = Callable[[int, Any, Tensor, Tensor], Tensor]
    """(block, its attention, tokens, the prompt's tokens) to tokens of that shape."""

THETA: Final = 10_000.0


def own_attention(number: int, attention: Any, tokens: Tensor, places: Tensor) -> Tensor:
    """A block's self-attention as it is."""
    query = heads(attention, attention.norm_q(attention.to_q(tokens)), places)
    key = heads(attention, attention.norm_k(attention.to_k(tokens)), places)
    return joined(attention, attended(query, key, heads(attention, attention.to_v(tokens))))


def cross_attention(number: int, attention: Any, tokens: Tensor, said: Tensor) -> Tensor:
    """A block's attention to the prompt as it is."""
    query, key = attention.norm_q(attention.to_q(tokens)), attention.norm_k(attention.to_k(said))
    found = attended(*(heads(attention, one) for one in (query, key, attention.to_v(said))))
    return joined(attention, found)


def answer(
    transformer: Any,
    latents: Tensor,
    timestep: Tensor,
    text: Tensor,
    own: Own = own_attention,
    cross: Cross = cross_attention,
) -> Tensor:
    """The velocity, float32, of `latents` [1, 16, T, h, w] in the transformer's dtype.

    `timestep` [1], `text` [1, L, C]. With the default attentions it is diffusers' own network.
    """
    tokens, grid = patches(transformer, latents)
    time, modulation, said = conditions(transformer, timestep, text)
    frames, rows, columns = grid
    places = turns(transformer, range(frames), range(rows), range(columns), latents.device)
    for number, block in enumerate(transformer.blocks):
        shift, scale, gate, shift_ff, scale_ff, gate_ff = six(block, modulation)
        tokens = gated(tokens, own(number, block.attn1, modulated(block.norm1, tokens, shift, scale), places), gate)
        tokens = tokens + cross(number, block.attn2, block.norm2(tokens.float()).type_as(tokens), said)
        tokens = gated(tokens, block.ffn(modulated(block.norm3, tokens, shift_ff, scale_ff)), gate_ff)
    shift, scale = (transformer.scale_shift_table.to(time.device) + time.unsqueeze(1)).chunk(2, dim=1)
    return unpatched(
        transformer, transformer.proj_out(modulated(transformer.norm_out, tokens, shift, scale)), grid
    ).float()


def patches(transformer: Any, latents: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Tokens (B, N, width) and their grid: where every walk through a network begins."""
    at_hand(transformer)
    cut = transformer.patch_embedding(latents)
    return cut.flatten(2).transpose(1, 2), (cut.shape[2], cut.shape[3], cut.shape[4])


def conditions(transformer: Any, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The time's embedding (B, width), its six parts for the blocks (B, 6, width), and the text's tokens."""
    time, parts, said, _ = transformer.condition_embedder(timestep, text)
    return time, parts.unflatten(1, (6, -1)), said


def six(block: Any, modulation: Tensor) -> tuple[Tensor, ...]:
    """Shift, scale and gate of self-attention, then of the last layers, each (B, 1, width)."""
    parts: tuple[Tensor, ...] = (block.scale_shift_table + modulation.float()).chunk(6, dim=1)
    return parts


def modulated(norm: Any, tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens normalised, scaled and shifted in float32, in their own dtype."""
    found: Tensor = (norm(tokens.float()) * (1 + scale) + shift).type_as(tokens)
    return found


def gated(tokens: Tensor, added: Tensor, gate: Tensor) -> Tensor:
    """Tokens and what was found for them, in float32, in their own dtype."""
    return (tokens.float() + added.float() * gate).type_as(tokens)


def heads(attention: Any, tokens: Tensor, places: Tensor | None = None) -> Tensor:
    """(B, N, heads x D) to (B, heads, N, D), turned by the places of the tokens where they are given."""
    split: Tensor = tokens.unflatten(2, (attention.heads, -1)).transpose(1, 2)
    if places is None:
        return split
    pairs = torch.view_as_complex(split.double().unflatten(3, (-1, 2)).contiguous())
    turned: Tensor = torch.view_as_real(pairs * places).flatten(3).type_as(split)
    return turned


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (B, heads, N, D) to (B, heads, M, D), as tokens (B, N, heads x D)."""
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def joined(attention: Any, tokens: Tensor) -> Tensor:
    """What an attention found, through its last layer."""
    out: Tensor = attention.to_out[0](tokens)
    return out


def turns(
    transformer: Any, times: Sequence[int], rows: Sequence[int], columns: Sequence[int], device: torch.device
) -> Tensor:
    """The rotation of every token of a grid, complex (N, D / 2), in Wan's shares of a head: time, rows, columns."""
    width = transformer.config.attention_head_dim
    side = 2 * (width // 6)
    shares = [
        torch.outer(
            torch.tensor(list(places), dtype=torch.float64, device=device),
            THETA ** -(torch.arange(0, share, 2, dtype=torch.float64, device=device) / share),
        )
        for places, share in ((times, width - 2 * side), (rows, side), (columns, side))
    ]
    grid = (len(times), len(rows), len(columns))
    angles = torch.cat(
        [
            shares[0][:, None, None].expand(*grid, -1),
            shares[1][None, :, None].expand(*grid, -1),
            shares[2][None, None, :].expand(*grid, -1),
        ],
        dim=-1,
    ).reshape(grid[0] * grid[1] * grid[2], -1)
    return torch.polar(torch.ones_like(angles), angles)


def unpatched(transformer: Any, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(B, N, channels x patch) to [B, channels, T, h, w]."""
    size = transformer.config.patch_size
    cubes = patches.unflatten(2, (*size, -1)).unflatten(1, grid)  # B, t, r, c, pt, pr, pc, channels
    found: Tensor = cubes.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return found
