"""A number that changes when the content of tensors does, however the change was made.

Version counters miss what fused and 8-bit optimisers, averaged copies of weights and `.data` write.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmbench.files import sha256

_CHUNK = 1 << 22
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def fingerprint(tensors: Iterable[Tensor]) -> tuple[int, ...] | None:
    """One 64-bit number a tensor, from all of its bits and their places; None where a content cannot be read.

    That is so for tensors on meta and for subclasses (quantised, sharded). Reads every number once: 3.4 GiB of
    modulation weights take some tens of milliseconds on a GPU, and one wait for all of them.
    """
    sums: list[Tensor] = []
    for tensor in tensors:
        if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.is_meta or tensor.is_complex():
            return None
        sums.append(_weighted_sum(tensor.detach()))
    return tuple(torch.stack([s.to(sums[0].device) for s in sums]).tolist()) if sums else ()


def _weighted_sum(tensor: Tensor) -> Tensor:
    """Sum of bits[i] * odd(i) modulo 2^64; swapped, negated and shifted contents get other sums."""
    bits = tensor.contiguous().reshape(-1).view(_INTEGERS[tensor.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    for start in range(0, bits.numel(), _CHUNK):
        part = bits[start : start + _CHUNK].to(torch.int64)
        part = part ^ (part >> 32)  # else the top bits of 64 cancel out in pairs
        places = torch.arange(start, start + len(part), device=tensor.device)
        # an odd multiplier, so that a change of one number always changes the sum
        total += (part * ((places * 0x9E3779B97F4A7C1 + (places << 17)) | 1)).sum()
    return total


@torch.no_grad()
def encoder_mark(module: torch.nn.Module) -> str:
    """A short mark of a module's weights from a few numbers of each; "" where they cannot be read (offloaded)."""
    held = []
    for parameter in module.parameters():
        if type(parameter) is not torch.nn.Parameter or parameter.is_meta:
            return ""
        flat = parameter.detach().reshape(-1)
        held.append(flat[:: max(1, flat.numel() // 64)][:64])
    content = fingerprint(held)
    return "" if content is None else sha256(repr(content).encode())[:16]
