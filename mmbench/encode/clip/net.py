"""CLIP (Radford et al., ICML 2021) on open_clip's modules, filled from files in transformers' layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ClipSize:
    """Sizes of both towers. Heads are 64 wide."""

    vision_width: int
    vision_layers: int
    patch: int
    text_width: int
    text_layers: int
    out: int
    head: int = 64
    side: int = 224
    tokens: int = 77
    vocabulary: int = 49408


BASE_32 = ClipSize(768, 12, 32, 512, 12, 512)
LARGE_14 = ClipSize(1024, 24, 14, 768, 12, 768)
TINY = ClipSize(32, 2, 56, 32, 2, 16, head=16)
TINY_14 = ClipSize(32, 2, 56, 32, 2, 768, head=16)
"""Its features are as wide as `LARGE_14`'s, for the head that reads them."""

MOVES = (
    (r"^(vision_model|text_model)\.encoder\.layers\.", r"\1.transformer.resblocks."),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_projection\.weight$", "text_projection"),
    (r"^vision_model\.", "visual."),
    (r"^text_model\.", ""),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
"""From transformers' names to open_clip's; queries, keys and values become one matrix afterwards."""
TRANSPOSED = ("visual.proj", "text_projection")


def clip_network(size: ClipSize) -> nn.Module:
    """Both towers, as open_clip builds OpenAI's: `encode_image`, `encode_text` and `logit_scale` (a logarithm)."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(
        layers=size.vision_layers,
        width=size.vision_width,
        head_width=size.head,
        patch_size=size.patch,
        image_size=size.side,
    )
    text = CLIPTextCfg(
        context_length=size.tokens,
        vocab_size=size.vocabulary,
        width=size.text_width,
        heads=size.text_width // size.head,
        layers=size.text_layers,
    )
    network: nn.Module = CLIP(size.out, vision, text, quick_gelu=True)
    return network


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of transformers' `CLIPModel` under open_clip's names. Unknown keys keep theirs."""
    found: dict[str, Tensor] = {}
    for old, tensor in state.items():
        if old.endswith("position_ids"):  # a count, not a weight; older files hold it
            continue
        new = old
        for pattern, put in MOVES:
            new = re.sub(pattern, put, new)
        found[new] = tensor.T.contiguous() if new in TRANSPOSED else tensor
    for key in [key for key in found if ".self_attn.q_proj." in key]:
        parts = [found.pop(key.replace("q_proj", f"{name}_proj"), None) for name in "qkv"]
        if all(part is not None for part in parts):
            joined = key.replace("self_attn.q_proj.", "attn.in_proj_")
            found[joined] = torch.cat([part for part in parts if part is not None])
    return found
