"""DynamiCrafter's `model.ckpt` into diffusers' UNet and autoencoder, transformers' CLIP and our resampler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.baselines.dynamicrafter.sampler import rescale_table
from mmbench.baselines.dynamicrafter.unet import build_unet
from mmbench.baselines.loading.checkpoint import (
    compare_keys,
    count_layers,
    drop,
    drop_schedule,
    read_tensors,
    refuse_lost,
    refuse_rest,
    take,
    tensors_only,
    with_buffers,
)
from mmbench.errors import WeightsError
from mmbench.model.network.perceiver import Perceiver, resampler_keys
from mmbench.weights import load_strict, rename_keys

if TYPE_CHECKING:
    from mmbench.baselines.dynamicrafter.layout import Layout, Recipe
    from mmbench.baselines.loading.checkpoint import State

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
KINDS = ("resnets", "attentions", "temp_attentions")
CLIP_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
UNUSED_TEXT = ("attn_mask", "logit_scale", "text_projection")
UNUSED_VISION = (*UNUSED_TEXT, "token_embedding.weight", "positional_embedding", "ln_final.", "visual.proj")
"""The image embedder keeps the text side's embeddings, 51.7 M numbers that nothing reads."""


@dataclass(frozen=True)
class CheckpointNetworks:
    """All networks of one checkpoint, float32 on the CPU."""

    unet: Any
    vae: Any
    text: Any
    vision: Any
    resampler: Perceiver


def read_checkpoint(path: Path, layout: Layout, recipe: Recipe) -> CheckpointNetworks:
    """Every tensor of the file into its network. Raises WeightsError for what is missing, unknown or misshapen."""
    state = open_checkpoint(path)
    if (scale := state.pop("scale_arr", None)) is not None:
        expected = rescale_table(recipe.base_scale)
        if scale.shape != expected.shape or not np.allclose(scale.numpy(), expected, atol=1e-4):
            raise WeightsError(
                f"{path} was trained with another dynamic rescale (ends at {float(scale[-1]):.2f}, expected "
                f"{recipe.base_scale}).",
                "Put each variant's model.ckpt into its own repository's folder.",
            )
    drop_schedule(state)
    drop(state, ("logvar", "lvlb_weights"))
    networks = CheckpointNetworks(
        unet=read_unet(take(state, "model.diffusion_model."), layout, recipe, path),
        vae=read_vae(take(state, "first_stage_model."), layout, path),
        text=read_text(take(state, "cond_stage_model.model."), layout, path),
        vision=read_vision(take(state, "embedder.model."), layout, path),
        resampler=read_resampler(take(state, "image_proj_model."), layout, path),
    )
    refuse_rest(state, path)
    return networks


def open_checkpoint(path: Path) -> State:
    """The flat tensors: under `state_dict`, or under `module` with DeepSpeed's 16-character prefix."""
    found = read_tensors(path)
    for name, skip in (("state_dict", 0), ("module", len("_forward_module."))):
        if isinstance(inner := found.get(name), dict):
            return {key[skip:]: value for key, value in tensors_only(inner, path).items()}
    return tensors_only(found, path)


def read_unet(state: State, layout: Layout, recipe: Recipe, path: Path) -> nn.Module:
    """The denoiser from LDM keys (without `model.diffusion_model.`)."""
    with torch.device("meta"):
        unet: nn.Module = build_unet(layout, recipe.learn_scale)
    unet.to_empty(device="cpu")
    renamed = rename_keys(state, unet_key)
    flat = {
        # Its 1-wide convolutions around the first temporal attention are linear layers here.
        key: value[..., 0] if key.startswith("transformer_in.proj_") and value.ndim == 3 else value
        for key, value in renamed.items()
    }
    load_strict(unet, flat, str(path))
    return unet.eval()


def unet_key(key: str) -> str:
    """diffusers' name of one tensor of the denoiser; unknown names pass through and fail the strict load."""
    for theirs, ours in (
        ("time_embed.0.", "time_embedding.base.linear_1."),
        ("time_embed.2.", "time_embedding.base.linear_2."),
        ("fps_embedding.0.", "time_embedding.linear_1."),
        ("fps_embedding.2.", "time_embedding.linear_2."),
        ("framestride_embed.0.", "time_embedding.linear_1."),
        ("framestride_embed.2.", "time_embedding.linear_2."),
        ("input_blocks.0.0.", "conv_in."),
        ("init_attn.0.", "transformer_in."),
        ("out.0.", "conv_norm_out."),
        ("out.2.", "conv_out."),
    ):
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    if match := re.fullmatch(r"input_blocks\.(\d+)\.0\.op\.(.+)", key):
        return f"down_blocks.{int(match[1]) // 3 - 1}.downsamplers.0.conv.{match[2]}"
    if match := re.fullmatch(r"output_blocks\.(\d+)\.\d\.conv\.(.+)", key):
        return f"up_blocks.{int(match[1]) // 3}.upsamplers.0.conv.{match[2]}"
    if match := re.fullmatch(r"(input|output)_blocks\.(\d+)\.([012])\.(.+)", key):
        index = int(match[2]) - (match[1] == "input")
        side = "down" if match[1] == "input" else "up"
        return inner_key(f"{side}_blocks.{index // 3}", KINDS[int(match[3])], index % 3, match[4])
    if match := re.fullmatch(r"middle_block\.([0-3])\.(.+)", key):
        slot = int(match[1])
        return inner_key("mid_block", KINDS[slot % 3], slot // 3, match[2])
    return key


def inner_key(block: str, kind: str, layer: int, rest: str) -> str:
    """Name inside a block: residual layers are renamed, their temporal convolutions (spelt so) become a sibling."""
    if kind != "resnets":
        rest = re.sub(r"attn2\.(to_k_ip|to_v_ip|alpha)", r"attn2.processor.\1", rest)
        return f"{block}.{kind}.{layer}.{rest}"
    if rest.startswith("temopral_conv."):
        return f"{block}.temp_convs.{layer}.{rest.removeprefix('temopral_conv.')}"
    for theirs, ours in RESNET.items():
        if rest.startswith(f"{theirs}."):
            return f"{block}.resnets.{layer}.{ours}.{rest.removeprefix(f'{theirs}.')}"
    return f"{block}.resnets.{layer}.{rest}"


def read_vae(state: State, layout: Layout, path: Path) -> nn.Module:
    """The image autoencoder from LDM keys (without `first_stage_model.`)."""
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    levels = len(layout.vae_blocks)
    vae: Any = AutoencoderKL(
        block_out_channels=layout.vae_blocks,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=layout.vae_groups,
        scaling_factor=0.18215,
    )
    named = {f"first_stage_model.{key}": value for key, value in state.items()}
    converted = convert_ldm_vae_checkpoint(dict(named), dict(vae.config))
    refuse_lost(named, converted, path)
    load_strict(vae, converted, str(path))
    found: nn.Module = vae.eval()
    return found


def read_text(state: State, layout: Layout, path: Path) -> nn.Module:
    """OpenCLIP's text tower as transformers' CLIPTextModel."""
    from transformers import CLIPTextConfig, CLIPTextModel

    drop(state, UNUSED_TEXT)
    width = state["ln_final.weight"].shape[0]
    text: nn.Module = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(state["token_embedding.weight"]),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=count_layers(state, "transformer.resblocks."),
            num_attention_heads=layout.text_heads,
            max_position_embeddings=len(state["positional_embedding"]),
            hidden_act="gelu",
        )
    )
    outside = {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    renamed = clip_state(state, "transformer.resblocks.", outside)
    prefix = "text_model." if hasattr(text, "text_model") else ""
    load_strict(text, with_buffers(text, {prefix + key: value for key, value in renamed.items()}), str(path))
    return text.eval()


def read_vision(state: State, layout: Layout, path: Path) -> nn.Module:
    """OpenCLIP's image tower as transformers' CLIPVisionModel."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    drop(state, UNUSED_VISION)
    state = {key.removeprefix("visual."): value for key, value in state.items()}
    vision: nn.Module = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=state["ln_pre.weight"].shape[0],
            intermediate_size=len(state["transformer.resblocks.0.mlp.c_fc.weight"]),
            num_hidden_layers=count_layers(state, "transformer.resblocks."),
            num_attention_heads=layout.vision_heads,
            image_size=layout.vision_pixels,
            patch_size=layout.vision_patch,
            hidden_act="gelu",
        )
    )
    outside = {
        "class_embedding": "embeddings.class_embedding",
        "conv1.weight": "embeddings.patch_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        **{f"ln_pre.{part}": f"pre_layrnorm.{part}" for part in ("weight", "bias")},
        **{f"ln_post.{part}": f"post_layernorm.{part}" for part in ("weight", "bias")},
    }
    renamed = clip_state(state, "transformer.resblocks.", outside)
    prefix = "vision_model." if hasattr(vision, "vision_model") else ""
    load_strict(vision, with_buffers(vision, {prefix + key: value for key, value in renamed.items()}), str(path))
    return vision.eval()


def clip_state(state: State, blocks: str, outside: dict[str, str]) -> State:
    """OpenCLIP's names to transformers': the joint input projection is split in three."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if not key.startswith(blocks):
            renamed[outside.get(key, key)] = value
            continue
        index, _, rest = key.removeprefix(blocks).partition(".")
        layer = f"encoder.layers.{index}"
        if rest.startswith("attn.in_proj_"):
            for part, chunk in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{layer}.self_attn.{part}_proj.{rest.removeprefix('attn.in_proj_')}"] = chunk
            continue
        name, _, tail = rest.rpartition(".")
        renamed[f"{layer}.{CLIP_BLOCK.get(name, name)}.{tail}"] = value
    return renamed


def read_resampler(state: State, layout: Layout, path: Path) -> Perceiver:
    """The image resampler: `frames` x `tokens_per_frame` learned queries."""
    keys = resampler_keys(layout.resampler_layers, learned_queries=True)
    compare_keys(state, set(keys), path)
    queries, width = state["latents"].shape[1:]
    resampler = Perceiver(
        feature_dim=state["proj_in.weight"].shape[1],
        width=width,
        output_dim=len(state["proj_out.weight"]),
        depth=layout.resampler_layers,
        head_dim=layout.resampler_head_width,
        heads=layout.resampler_heads,
        num_queries=queries,
    )
    load_strict(resampler, {keys[key]: value for key, value in state.items()}, str(path))
    return resampler.eval()
