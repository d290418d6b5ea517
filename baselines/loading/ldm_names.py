"""Names of a diffusers network's tensors in the older latent-diffusion layout, to write tiny files in that layout.

This is the other direction of the converters, written apart from them, so that a round trip tests both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "transformer_in.": "init_attn.0.",
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
VAE = (
    (r"^(encoder|decoder)\.conv_norm_out\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.mid_block\.resnets\.0\.", r"\1.mid.block_1."),
    (r"^(encoder|decoder)\.mid_block\.resnets\.1\.", r"\1.mid.block_2."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.group_norm\.", r"\1.mid.attn_1.norm."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.to_([qkv])\.", r"\1.mid.attn_1.\2."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.to_out\.0\.", r"\1.mid.attn_1.proj_out."),
    (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block."),
    (r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
)


def unet_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of a 2D or 3D UNet, two layers a block, under LDM's names (without `model.diffusion_model.`)."""
    temporal = any("temp_attentions" in key for key in state)
    with_attention = {int(key.split(".")[1]) for key in state if key.startswith("up_blocks") and ".attentions." in key}
    return {unet_name(key, temporal, with_attention): value for key, value in state.items()}


def unet_name(key: str, temporal: bool, with_attention: set[int]) -> str:
    """LDM's name of one tensor. `with_attention` are the up blocks that have attention."""
    for ours, theirs in OUTSIDE.items():
        if key.startswith(ours):
            return key.replace(ours, theirs, 1)
    if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(down|up)samplers\.0\.conv\.(.+)", key):
        block, rest = int(match[2]), match[4]
        if match[1] == "down":
            return f"input_blocks.{3 + 3 * block}.0.op.{rest}"
        place = (3 if temporal else 2) if block in with_attention else 1
        return f"output_blocks.{3 * block + 2}.{place}.conv.{rest}"
    if match := re.fullmatch(r"(down|up|mid)_blocks?\.(?:(\d+)\.)?(\w+)\.(\d+)\.(.+)", key):
        side, block, kind, layer, rest = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
        first = {"down": f"input_blocks.{1 + 3 * block + layer}", "up": f"output_blocks.{3 * block + layer}"}
        slot = {"resnets": 0, "temp_convs": 0, "attentions": 1, "temp_attentions": 2}[kind]
        if side == "mid":
            last = 3 if temporal else 2
            root = f"middle_block.{last if slot == 0 and layer == 1 else slot}"
        else:
            root = f"{first[side]}.{slot}"
        if kind == "temp_convs":
            return f"{root}.temopral_conv.{rest}"
        if kind == "resnets":
            name, _, tail = rest.partition(".")
            return f"{root}.{RESNET[name]}.{tail}"
        return f"{root}.{rest}"
    raise KeyError(key)


def vae_state(vae: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors of an AutoencoderKL under LDM's names (without `first_stage_model.`); attention as 1x1 convolutions."""
    blocks = len({key.split(".")[2] for key in vae.state_dict() if key.startswith("decoder.up_blocks.")})
    state = {}
    for key, value in vae.state_dict().items():
        name = key
        for ours, theirs in VAE:
            name = re.sub(ours, theirs, name)
        if match := re.match(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers\.0)\.", name):
            kind = "block" if match[2] == "resnets" else "upsample"
            name = f"decoder.up.{blocks - 1 - int(match[1])}.{kind}." + name[match.end() :]
        is_projection = ".attn_1." in name and ".norm." not in name and value.ndim == 2
        state[name] = value[:, :, None, None] if is_projection else value
    return state
