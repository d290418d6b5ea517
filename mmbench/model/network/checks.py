"""What of the surroundings (caches, attention processors) an identity cannot be computed under."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from torch import nn

from mmbench.errors import RequestError
from mmbench.model.network.joint_block import JointAttnProcessor

if TYPE_CHECKING:
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel


def has_diffusers_hook(module: nn.Module) -> bool:
    """Whether a cache, layer skip, group offload or the like of diffusers sits on this module."""
    registry = module.__dict__.get("_diffusers_hook")
    return registry is not None and bool(registry.hooks)


def check_blocks(model: MagicMirrorTransformer3DModel, has_face_rows: bool, biased: bool) -> None:
    """Refuse a cache that skips blocks which not all see the face rows, and processors that know no face."""
    blocks = model.transformer_blocks
    skipping = model.is_cache_enabled and any(has_diffusers_hook(b) for b in blocks)
    if skipping and has_face_rows and model.config.face_rows != "visible":
        raise RequestError(
            "A cache that skips blocks is on, and not all blocks see the face rows.",
            "Call transformer.disable_cache(), or build the model with face_rows='visible'.",
        )
    if not biased and not model.config.face_cross_attention:
        return
    for index in model.layer_adapters():
        processor = blocks[index].attn1.processor
        if type(processor) is JointAttnProcessor:
            continue
        if "face_key_value" not in inspect.signature(processor.__call__).parameters:
            raise RequestError(
                f"Layer {index} has the attention processor {type(processor).__name__}, which would leave the "
                "decoupled face attention out.",
                "Use a processor with JointAttnProcessor's arguments, or call transformer.reset_attn_processors().",
            )
