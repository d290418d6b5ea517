"""Lynx' two adapters beside a stock Wan: tokens of the face's vector, and what every block sees of the face's picture.

The identity adapter attends from the video to the resampled vector of a recogniser, beside the attention to the
prompt. The reference adapter attends from the video to the tokens that the same block had of the face's picture, run
through the network by itself at time 0 with a prompt of its own, beside self-attention; without places (Sang et al.
2025, section 3; github.com/bytedance/lynx, `modules/full/attention_processor.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from mmbench.baselines.wan.blocks import answer, attended, heads, joined, own_attention
from mmbench.model.network.perceiver import Perceiver

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING, QUERIES, DEPTH, WIDTH, HEADS, HEAD_WIDTH = 512, 16, 4, 1280, 20, 64
PROMPT: Final = "image of a face"
"""What the network is told while it sees the face's picture: a constant of the recipe."""


class IdentityLayer(nn.Module):
    """Keys and values of the identity's tokens for one block, under the published names; registers come behind them."""

    def __init__(self, given: int, width: int, registers: int) -> None:
        super().__init__()
        self.to_k_ip, self.to_v_ip = nn.Linear(given, width), nn.Linear(given, width)
        self.registers = nn.Parameter(torch.zeros(1, registers, given)) if registers else None

    def seen(self, attention: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, N, D) of `tokens` [B, N, given]."""
        if self.registers is not None:
            tokens = torch.cat([tokens, self.registers.expand(len(tokens), -1, -1)], dim=1)
        key = attention.norm_k(self.to_k_ip(tokens))
        return heads(attention, key), heads(attention, self.to_v_ip(tokens))


class ReferenceLayer(nn.Module):
    """Keys and values of the face picture's tokens for one block, under the published names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_k_ref, self.to_v_ref = nn.Linear(width, width), nn.Linear(width, width)

    def seen(self, attention: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, N, D) of `tokens` [B, N, width]."""
        key = attention.norm_k(self.to_k_ref(tokens))
        return heads(attention, key), heads(attention, self.to_v_ref(tokens))


class LynxAdapters(nn.Module):
    """Resampler, identity layers and reference layers: one of each a block. Published sizes but for `width`."""

    def __init__(self, layers: int, width: int, registers: int, depth: int = DEPTH, inner: int = WIDTH) -> None:
        super().__init__()
        head = min(HEAD_WIDTH, inner)
        self.resampler = Perceiver(EMBEDDING, inner, width, depth, head, heads=inner // head, num_queries=QUERIES)
        self.identity = nn.ModuleList(IdentityLayer(width, width, registers) for _ in range(layers))
        self.reference = nn.ModuleList(ReferenceLayer(width) for _ in range(layers))

    def identity_layers(self) -> list[IdentityLayer]:
        """The identity's layers block by block."""
        return [layer for layer in self.identity if isinstance(layer, IdentityLayer)]

    def reference_layers(self) -> list[ReferenceLayer]:
        """The picture's layers block by block."""
        return [layer for layer in self.reference if isinstance(layer, ReferenceLayer)]


@dataclass(frozen=True)
class SeenPerson:
    """What every block sees of a person: keys and values of the identity's tokens and of the picture's."""

    identity: tuple[tuple[Tensor, Tensor], ...]
    reference: tuple[tuple[Tensor, Tensor], ...]


def see_person(transformer: Any, adapters: LynxAdapters, vector: Tensor, picture: Tensor, text: Tensor) -> SeenPerson:
    """A person's keys and values. `vector` [512] of the recogniser, `picture` latents [1, 16, 1, h, w].

    `text` is `PROMPT`, embedded. Zeros for both are the person that guidance leads away from.
    """
    had: list[Tensor] = []

    def remember(number: int, attention: Any, tokens: Tensor, places: Tensor) -> Tensor:
        had.append(tokens)
        return own_attention(number, attention, tokens, places)

    answer(transformer, picture, torch.zeros(1, device=picture.device), text, own=remember)
    tokens = adapters.resampler(vector[None, None])
    blocks = transformer.blocks
    return SeenPerson(
        tuple(layer.seen(block.attn2, tokens) for layer, block in zip(adapters.identity_layers(), blocks, strict=True)),
        tuple(
            layer.seen(block.attn1, seen)
            for layer, block, seen in zip(adapters.reference_layers(), blocks, had, strict=True)
        ),
    )


@dataclass(frozen=True)
class Scales:
    """Weights of what the two adapters find."""

    identity: float = 1.0
    reference: float = 1.0


def velocity_with(
    transformer: Any, person: SeenPerson, scales: Scales, latents: Tensor, timestep: Tensor, text: Tensor
) -> Tensor:
    """The velocity, float32, of latents [1, 16, T, h, w] of a video of this person; arguments as `blocks.answer`."""

    def own(number: int, attention: Any, tokens: Tensor, places: Tensor) -> Tensor:
        query = attention.norm_q(attention.to_q(tokens))
        key = heads(attention, attention.norm_k(attention.to_k(tokens)), places)
        found = attended(heads(attention, query, places), key, heads(attention, attention.to_v(tokens)))
        beside = attended(heads(attention, query), *person.reference[number])
        return joined(attention, found + scales.reference * beside)

    def cross(number: int, attention: Any, tokens: Tensor, said: Tensor) -> Tensor:
        query = heads(attention, attention.norm_q(attention.to_q(tokens)))
        key = heads(attention, attention.norm_k(attention.to_k(said)))
        found = attended(query, key, heads(attention, attention.to_v(said)))
        return joined(attention, found + scales.identity * attended(query, *person.identity[number]))

    return answer(transformer, latents, timestep, text, own=own, cross=cross)
