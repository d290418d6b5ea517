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

if TYPE_CHECKING:
    from torch import Tensor

RANK: Final = 128
THETA: Final = 10_000.0


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


@dataclass(frozen=True)
class Face:
    """Keys and values of the face's tokens, a pair a block, each (B, heads, N, D)."""

    seen: tuple[tuple[Tensor, Tensor], ...]


def see_face(transformer: Any, adapters: FaceAdapters, latents: Tensor, text: Tensor, video: Sequence[int]) -> Face:
    """The face's keys and values. `latents` [1, 16, 1, h, w], `text` any embedded prompt (it does not enter).

    `video` is the video's grid of patches (frames, rows, columns), behind which the face lies.
    """
    tokens, (_, rows, columns) = _patches(transformer, latents)
    _, modulation, _ = _conditions(transformer, torch.zeros(1, device=latents.device), text)
    _, above, left = video
    turns = _turns(transformer, [-1], range(above, above + rows), range(left, left + columns), latents.device)
    seen = []
    for block, adapted in zip(transformer.blocks, adapters.blocks, strict=True):
        attention, added = block.attn1, adapted.self_attn
        shift, scale, gate, shift_ff, scale_ff, gate_ff = _six(block, modulation)
        normed = _modulated(block.norm1, tokens, shift, scale)
        query = _heads(attention, attention.norm_q(attention.to_q(normed) + added.q_loras(normed)), turns)
        key = _heads(attention, attention.norm_k(attention.to_k(normed) + added.k_loras(normed)), turns)
        value = _heads(attention, attention.to_v(normed) + added.v_loras(normed))
        seen.append((key, value))
        tokens = _gated(tokens, _attended(attention, query, key, value), gate)
        tokens = _gated(tokens, block.ffn(_modulated(block.norm3, tokens, shift_ff, scale_ff)), gate_ff)
    return Face(tuple(seen))


def velocity_with(transformer: Any, face: Face | None, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    """diffusers' `WanTransformer3DModel`, whose video tokens see the face too; without one it is that very network.

    `latents` [1, 16, T, h, w] in the transformer's dtype, `timestep` [1], `text` [1, L, C]; the velocity, float32.
    """
    tokens, grid = _patches(transformer, latents)
    time, modulation, said = _conditions(transformer, timestep, text)
    turns = _turns(transformer, *(range(length) for length in grid), latents.device)
    for number, block in enumerate(transformer.blocks):
        attention = block.attn1
        shift, scale, gate, shift_ff, scale_ff, gate_ff = _six(block, modulation)
        normed = _modulated(block.norm1, tokens, shift, scale)
        query = _heads(attention, attention.norm_q(attention.to_q(normed)), turns)
        key = _heads(attention, attention.norm_k(attention.to_k(normed)), turns)
        value = _heads(attention, attention.to_v(normed))
        if face is not None:
            own, its = (key, value), face.seen[number]
            key, value = (torch.cat(pair, dim=2) for pair in zip(own, its, strict=True))
        tokens = _gated(tokens, _attended(attention, query, key, value), gate)
        crossed = block.norm2(tokens.float()).type_as(tokens)
        tokens = tokens + block.attn2(hidden_states=crossed, encoder_hidden_states=said)
        tokens = _gated(tokens, block.ffn(_modulated(block.norm3, tokens, shift_ff, scale_ff)), gate_ff)
    shift, scale = (transformer.scale_shift_table.to(time.device) + time.unsqueeze(1)).chunk(2, dim=1)
    patches = transformer.proj_out(_modulated(transformer.norm_out, tokens, shift, scale))
    return _unpatched(transformer, patches, grid).float()


def _patches(transformer: Any, latents: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Tokens (B, N, width) and their grid."""
    cut = transformer.patch_embedding(latents)
    return cut.flatten(2).transpose(1, 2), (cut.shape[2], cut.shape[3], cut.shape[4])


def _conditions(transformer: Any, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The time's embedding (B, width), its six parts for the blocks (B, 6, width), and the text's tokens."""
    time, parts, said, _ = transformer.condition_embedder(timestep, text)
    return time, parts.unflatten(1, (6, -1)), said


def _six(block: Any, modulation: Tensor) -> tuple[Tensor, ...]:
    return (block.scale_shift_table + modulation.float()).chunk(6, dim=1)


def _modulated(norm: Any, tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return (norm(tokens.float()) * (1 + scale) + shift).type_as(tokens)


def _gated(tokens: Tensor, added: Tensor, gate: Tensor) -> Tensor:
    return (tokens.float() + added.float() * gate).type_as(tokens)


def _heads(attention: Any, tokens: Tensor, turns: Tensor | None = None) -> Tensor:
    """(B, N, heads x D) to (B, heads, N, D), turned by the places of the tokens where they are given."""
    split = tokens.unflatten(2, (attention.heads, -1)).transpose(1, 2)
    if turns is None:
        return split
    pairs = torch.view_as_complex(split.double().unflatten(3, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(3).type_as(split)


def _attended(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    found = nn.functional.scaled_dot_product_attention(query, key, value)
    out: Tensor = attention.to_out[0](found.transpose(1, 2).flatten(2))
    return out


def _turns(
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


def _unpatched(transformer: Any, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(B, N, channels x patch) to [B, channels, T, h, w]."""
    size = transformer.config.patch_size
    cubes = patches.unflatten(2, (*size, -1)).unflatten(1, grid)  # B, t, r, c, pt, pr, pc, channels
    return cubes.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
