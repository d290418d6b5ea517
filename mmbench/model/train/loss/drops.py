"""Which conditions a training sample loses, so that every guidance mode has a model to ask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class DropRates:
    """Shares of samples that lose the identity only, the text only, or both; the three exclude each other."""

    identity: float = 0.05
    text: float = 0.05
    both: float = 0.05


def draw_drops(rates: DropRates, generator: Generator, count: int = 1) -> tuple[Tensor, Tensor]:
    """keep_identity and keep_text, bool [count], each sample's from one number of the generator."""
    u = torch.rand(count, generator=generator, dtype=torch.float64)
    identity = u < rates.identity
    text = (rates.identity <= u) & (u < rates.identity + rates.text)
    both = (rates.identity + rates.text <= u) & (u < rates.identity + rates.text + rates.both)
    return ~(identity | both), ~(text | both)
