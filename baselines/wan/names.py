"""Wan's own names of its transformer's tensors: checkpoints of its descendants come in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mmbench.baselines.loading.checkpoint import compare_keys, refuse_lost

if TYPE_CHECKING:
    from torch import Tensor

BACK: Final = (
    ("condition_embedder.time_embedder.linear_1.", "time_embedding.0."),
    ("condition_embedder.time_embedder.linear_2.", "time_embedding.2."),
    ("condition_embedder.text_embedder.linear_1.", "text_embedding.0."),
    ("condition_embedder.text_embedder.linear_2.", "text_embedding.2."),
    ("condition_embedder.time_proj.", "time_projection.1."),
    (".attn1.to_out.0.", ".self_attn.o."),
    (".attn2.to_out.0.", ".cross_attn.o."),
    (".attn1.to_", ".self_attn."),
    (".attn2.to_", ".cross_attn."),
    (".attn1.", ".self_attn."),
    (".attn2.", ".cross_attn."),
    (".ffn.net.0.proj.", ".ffn.0."),
    (".ffn.net.2.", ".ffn.2."),
    (".norm2.", ".norm3."),  # before the text's attention; Wan's own norm2 and norm1 have no weights
)
"""diffusers' name to Wan's, the longer first: the other direction of diffusers' converter, to write tiny files."""


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a `WanTransformer3DModel` under Wan's own names."""
    return {_published(key): value for key, value in state.items()}


def _published(key: str) -> str:
    if key == "scale_shift_table":
        return "head.modulation"
    if key.startswith("proj_out."):
        return key.replace("proj_out.", "head.head.")
    for ours, wan in BACK:
        key = key.replace(ours, wan)
    return key.replace(".scale_shift_table", ".modulation")


def load_published(config: dict[str, Any], state: dict[str, Tensor], source: Path, dtype: Any) -> Any:
    """A `WanTransformer3DModel` of `config` with the tensors of `state`, which are under Wan's own names.

    Time and norms keep float32 as in diffusers' own loading. Raises WeightsError for a key that is lost or left over.
    """
    import torch
    from accelerate import init_empty_weights
    from diffusers import WanTransformer3DModel
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    given = dict(state)
    converted = convert_wan_transformer_to_diffusers(state)
    refuse_lost(given, converted, source)
    del given  # else every tensor lives twice below, and a large model fills the memory
    with init_empty_weights():  # the positions' tables are computed, not loaded
        model = WanTransformer3DModel.from_config(config)
    compare_keys(converted, set(model.state_dict()), source)
    keep = tuple(model._keep_in_fp32_modules or ())
    for key, value in converted.items():
        as_it_is = any(name in key.split(".") for name in keep)
        converted[key] = value.to(torch.float32 if as_it_is or dtype is None else dtype)
    model.load_state_dict(converted, strict=True, assign=True)
    return model.eval()
