"""Folding low-rank updates into the weights they update: exact, and no adapter library at run time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from mmbench.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

Half = Literal["down", "up"]
Locate = Callable[[str], tuple[str, Half] | None]

_PROCESSOR_KEY = re.compile(r"unet\.(.+\.attn[12])\.processor\.to_(q|k|v|out)_lora\.(down|up)\.weight")


def merge(module: nn.Module, state: Mapping[str, Tensor], locate: Locate, source: str, scale: float = 1.0) -> int:
    """Add `scale * up @ down` to each weight of `module`, in float32; return how many weights changed.

    `locate` maps a key of `state` to (name of the weight in `module`, "down" or "up"), None for a key it does not
    know. Raises WeightsError for unknown keys, halves without the other, and shapes that do not fit; `module` is then
    unchanged.
    """
    import torch

    halves: dict[str, dict[Half, Tensor]] = {}
    unknown = []
    for key, tensor in state.items():
        if (place := locate(key)) is None:
            unknown.append(key)
        else:
            halves.setdefault(place[0], {})[place[1]] = tensor
    weights = dict(module.named_parameters())
    unknown += [name for name in halves if name not in weights]
    single = [name for name, pair in halves.items() if len(pair) != 2]
    if unknown or single:
        raise WeightsError(
            f"{source}: {len(unknown)} LoRA keys are unknown {unknown[:5]}, {len(single)} lack a half {single[:5]}.",
            "The file is of another release than the one this loader was written for.",
        )
    for name, pair in halves.items():
        down, up = pair["down"], pair["up"]
        shape = tuple(weights[name].shape)
        if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1] or (len(up), down.shape[1]) != shape:
            raise WeightsError(
                f"{source}: LoRA {tuple(up.shape)} x {tuple(down.shape)} does not fit {name} {shape}.",
                "The file is for another base model.",
            )
    with torch.no_grad():
        for name, pair in halves.items():
            weight = weights[name]
            update = scale * (pair["up"].float() @ pair["down"].float())
            weight.copy_((weight.float() + update.to(weight.device)).to(weight.dtype))
    return len(halves)


def locate_processor(key: str) -> tuple[str, Half] | None:
    """Keys as diffusers wrote attention-processor LoRA, below `unet.`: PhotoMaker's form."""
    match = _PROCESSOR_KEY.fullmatch(key)
    if match is None:
        return None
    path, part, half = match.groups()
    return f"{path}.to_{part}{'.0' if part == 'out' else ''}.weight", "down" if half == "down" else "up"
