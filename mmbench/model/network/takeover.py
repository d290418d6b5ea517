"""A Magic Mirror transformer around the modules of a base, and back: no weight is copied or renamed.

The modules are shared, not their tensors, so LoRA layers, quantised Linears and the hooks on them stay what
they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock, CogVideoXTransformer3DModel
from torch import Tensor, nn

from mmbench.model.network.adapter import cast_for

if TYPE_CHECKING:
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel

_STATE = (
    "peft_config",
    "_hf_peft_config_loaded",
    "hf_quantizer",
    "is_quantized",
    "quantization_method",
    "is_loaded_in_4bit",
    "is_loaded_in_8bit",
    "gradient_checkpointing",
    "_gradient_checkpointing_func",
)
"""What LoRA, quantisation and checkpointing note on the whole model; it goes with the modules."""


def share_base_modules(source: CogVideoXTransformer3DModel, target: CogVideoXTransformer3DModel) -> None:
    """Put every module of the base into `target` (built on meta), of whichever of the two classes each is.

    Blocks, attentions and adaptive norms stay the target's own shells, since their classes and processors
    differ; what lies in them is shared.
    """
    for name, child in source.named_children():
        if name == "transformer_blocks":
            for mine, theirs in zip(target.transformer_blocks, child, strict=True):
                _share_block(theirs, mine)
        elif name in dict(target.named_children()) and name not in ("adapters", "face_proj", "id_proj"):
            setattr(target, name, child)
    for name in _STATE:
        if name in source.__dict__:
            setattr(target, name, source.__dict__[name])
    target.train(source.training)


def _share_block(source: CogVideoXBlock, target: CogVideoXBlock) -> None:
    for name, child in source.named_children():
        if name in ("norm1", "norm2"):
            for part, module in child.named_children():
                setattr(getattr(target, name), part, module)
        elif name == "attn1":
            target.attn1._modules = dict(child._modules)
            target.attn1.fused_projections = child.fused_projections
        else:
            setattr(target, name, child)


def to_base(model: MagicMirrorTransformer3DModel) -> CogVideoXTransformer3DModel:
    """The stock transformer around the base modules of `model` (shared, not copied)."""
    names = CogVideoXTransformer3DModel._get_init_keys(CogVideoXTransformer3DModel)
    fields = {k: v for k, v in model.config.items() if k in names}
    with torch.device("meta"):
        base: CogVideoXTransformer3DModel = CogVideoXTransformer3DModel.from_config(fields)
    share_base_modules(model, base)
    return base


@torch.no_grad()
def dense_weight(linear: nn.Module, width: int, like: Tensor) -> Tensor:
    """The weight [out, width] of a Linear as plain numbers, also where it is quantised; LoRA is left out.

    A quantised layer tells its weight by what it makes of the identity matrix. `like` gives device and type.
    """
    while isinstance(inner := getattr(linear, "base_layer", None), nn.Module):
        linear = inner
    weight: Any = linear.weight  # the stubs say Tensor or Module
    plain = type(weight) in (nn.Parameter, Tensor) and weight.is_floating_point() and weight.element_size() > 1
    if type(linear) is nn.Linear and plain and (like.is_meta or not weight.is_meta):
        held: Tensor = weight
        return held
    unit = cast_for(torch.eye(width, device=like.device), like)
    layer: Any = linear
    made: Tensor = (layer(unit) - layer(torch.zeros_like(unit[:1]))).T
    return made


def materialise(model: nn.Module, names: Iterable[str], device: torch.device, dtype: torch.dtype) -> None:
    """Replace parameters (on meta) by uninitialised ones on a device; the caller initialises them."""
    for name in names:
        owner_name, _, leaf = name.rpartition(".")
        owner = model.get_submodule(owner_name)
        shape = getattr(owner, leaf).shape
        setattr(owner, leaf, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
