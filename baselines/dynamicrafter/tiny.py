"""Tiny DynamiCrafter checkpoints in the published key names: 8 frames of 64x96, in the 1024 and the 256 recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.baselines.dynamicrafter.layout import RECIPES, Layout, Recipe
from mmbench.baselines.loading.ldm_names import unet_state, vae_state
from mmbench.baselines.loading.tiny import hub_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

WIDTH = 32
LAYOUT = Layout(
    blocks=(32, 32, 64, 64),
    head_width=16,
    context=WIDTH,
    frames=8,
    tokens_per_frame=2,
    resampler_heads=2,
    resampler_head_width=16,
    resampler_layers=2,
    text_heads=4,
    vision_heads=4,
    vision_pixels=28,
    vae_blocks=(8, 8, 8, 8),
    vae_groups=2,
)
WORDS = 49408
"""OpenCLIP's vocabulary: its tokenizer comes with the package and is used as it is."""


def make_dynamicrafter(root: Path) -> None:
    """`model.ckpt` of the 1024 and the 256 repositories."""
    import torch

    for name in ("1024", "256"):
        recipe = RECIPES[name]
        torch.save({"state_dict": checkpoint(recipe)}, hub_folder(root, recipe.repo) / "model.ckpt")


def checkpoint(recipe: Recipe) -> dict[str, torch.Tensor]:
    """The flat state dict, with the tables and the unused tensors that the published file carries."""
    import torch
    from diffusers import AutoencoderKL

    from mmbench.baselines.dynamicrafter.sampler import alphas_bar, rescale_table
    from mmbench.baselines.dynamicrafter.unet import build_unet
    from mmbench.model.network.perceiver import Perceiver, resampler_keys

    unet = build_unet(LAYOUT, recipe.learn_scale)
    vae = AutoencoderKL(
        block_out_channels=LAYOUT.vae_blocks,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=LAYOUT.vae_groups,
    )
    resampler = Perceiver(
        feature_dim=WIDTH,
        width=WIDTH,
        output_dim=WIDTH,
        depth=LAYOUT.resampler_layers,
        head_dim=LAYOUT.resampler_head_width,
        heads=LAYOUT.resampler_heads,
        num_queries=LAYOUT.frames * LAYOUT.tokens_per_frame,
    )
    ours = resampler.state_dict()
    keys = resampler_keys(LAYOUT.resampler_layers, learned_queries=True)
    state = {
        **{f"model.diffusion_model.{key}": value for key, value in denoiser_state(unet, recipe).items()},
        **{f"first_stage_model.{key}": value for key, value in vae_state(vae).items()},
        **{f"cond_stage_model.model.{key}": value for key, value in open_clip_text().items()},
        **{f"embedder.model.{key}": value for key, value in open_clip_vision().items()},
        **{f"image_proj_model.{upstream}": ours[own] for upstream, own in keys.items()},
        "alphas_cumprod": torch.from_numpy(alphas_bar(recipe.zero_snr)).float(),
    }
    if recipe.base_scale is not None:
        state["scale_arr"] = torch.from_numpy(rescale_table(recipe.base_scale)).float()
    return state


def denoiser_state(unet: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """The denoiser's tensors under the published names, made lively where a fresh network would stay silent."""
    import torch

    rate = {"time_embedding.linear_1.": f"{recipe.rate_key}.0.", "time_embedding.linear_2.": f"{recipe.rate_key}.2."}
    state = {}
    plain = {key: value for key, value in unet.state_dict().items() if not key.startswith(tuple(rate))}
    named = {key.replace("time_embedding.base.", "time_embedding."): value for key, value in plain.items()}
    for key, value in unet_state(named).items():
        name = key.replace(".processor.", ".")
        if name.startswith("init_attn.0.proj_") and value.ndim == 2:
            value = value[..., None]
        silent = name.endswith(("conv4.3.weight", "temopral_conv.conv4.3.weight"))
        state[name] = 0.1 * torch.randn_like(value) if silent or name.endswith("alpha") else value
    for ours, theirs in rate.items():
        for part in ("weight", "bias"):
            state[theirs + part] = unet.state_dict()[ours + part]
    return state


def open_clip_text() -> dict[str, torch.Tensor]:
    """OpenCLIP's text side, two layers."""
    import torch

    return {
        "positional_embedding": 0.1 * torch.randn(77, WIDTH),
        "text_projection": torch.zeros(WIDTH, WIDTH),
        "logit_scale": torch.zeros(()),
        "token_embedding.weight": 0.3 * torch.randn(WORDS, WIDTH),
        "ln_final.weight": torch.ones(WIDTH),
        "ln_final.bias": torch.zeros(WIDTH),
        **open_clip_blocks("transformer"),
    }


def open_clip_vision() -> dict[str, torch.Tensor]:
    """OpenCLIP's image side, two layers, with the text side's unused remains."""
    import torch

    patches = (LAYOUT.vision_pixels // LAYOUT.vision_patch) ** 2
    state = {
        "visual.class_embedding": torch.randn(WIDTH),
        "visual.positional_embedding": 0.1 * torch.randn(patches + 1, WIDTH),
        "visual.proj": torch.zeros(WIDTH, WIDTH),
        "visual.conv1.weight": torch.randn(WIDTH, 3, LAYOUT.vision_patch, LAYOUT.vision_patch) / 24,
        "token_embedding.weight": torch.zeros(8, WIDTH),
        "positional_embedding": torch.zeros(77, WIDTH),
        "logit_scale": torch.zeros(()),
        "text_projection": torch.zeros(WIDTH, WIDTH),
        **open_clip_blocks("visual.transformer"),
    }
    for norm in ("visual.ln_pre", "visual.ln_post", "ln_final"):
        state |= {f"{norm}.weight": torch.ones(WIDTH), f"{norm}.bias": torch.zeros(WIDTH)}
    return state


def open_clip_blocks(root: str, layers: int = 2) -> dict[str, torch.Tensor]:
    """Transformer blocks in OpenCLIP's names, with one joint projection for q, k and v."""
    import torch

    state = {}
    for index in range(layers):
        block = f"{root}.resblocks.{index}"
        for name, out, inner in (
            ("attn.in_proj_", 3 * WIDTH, WIDTH),
            ("attn.out_proj.", WIDTH, WIDTH),
            ("mlp.c_fc.", 4 * WIDTH, WIDTH),
            ("mlp.c_proj.", WIDTH, 4 * WIDTH),
        ):
            state[f"{block}.{name}weight"] = torch.randn(out, inner) / inner**0.5
            state[f"{block}.{name}bias"] = 0.02 * torch.randn(out)
        for norm in ("ln_1", "ln_2"):
            state[f"{block}.{norm}.weight"] = 1 + 0.1 * torch.randn(WIDTH)
            state[f"{block}.{norm}.bias"] = 0.1 * torch.randn(WIDTH)
    return state
