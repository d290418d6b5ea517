"""Which conditions a training sample loses, so that every guidance mode has a model to ask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator


@dataclass(frozen=True)
class DropRates:
    """Shares of samples that lose the identity only, the text only, or both; the three exclude each other."""

    identity: float = 0.05
    text: float = 0.05
    both: float = 0.05


def draw_drops(rates: DropRates, generator: Generator) -> tuple[bool, bool]:
    """keep_identity and keep_text of one sample, from one number of the generator."""
    u = float(torch.rand((), generator=generator, dtype=torch.float64))
    identity = u < rates.identity
    text = rates.identity <= u < rates.identity + rates.text
    both = rates.identity + rates.text <= u < rates.identity + rates.text + rates.both
    return not (identity or both), not (text or both)
