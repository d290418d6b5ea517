"""A tiny ID-Animator Space: SD 1.5 configurations, an LDM-keyed image file, a motion module and a face adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.id_animator.model import REPO
from mmbench.baselines.loading.ldm_names import unet_state, vae_state
from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.loading.tiny_tokenizers import write_clip

if TYPE_CHECKING:
    import torch
    from torch import nn

WIDTH = 32
BLOCKS = (32, 32, 64, 64)
"""Multiples of 32: AnimateDiff's norms have 32 groups whatever the width."""
LORA_RANK, RESAMPLER_HEADS, QUERIES = 4, 2, 4


def make_id_animator(root: Path) -> None:
    """All files of the Space that are read."""
    import torch
    from safetensors.torch import save_file

    folder = hub_folder(root, REPO)
    unet, vae, text = sd15(folder / "animatediff" / "sd")
    layers = {
        **{f"model.diffusion_model.{key}": value for key, value in unet_state(unet.state_dict()).items()},
        **{f"first_stage_model.{key}": value for key, value in vae_state(vae).items()},
        **{f"cond_stage_model.transformer.{key}": value for key, value in text_state(text).items()},
        "betas": torch.linspace(0.00085, 0.012, 1000),
    }
    save_file(
        {key: value.contiguous() for key, value in layers.items()},
        folder / "realisticVisionV60B1_v51VAE.safetensors",
    )
    torch.save(motion_state(unet), folder / "mm_sd_v15_v2.ckpt")
    torch.save({"state_dict": adapter_state(unet)}, folder / "animator.ckpt")
    image_encoder(folder / "image_encoder", 32)


def sd15(folder: Path) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Configurations and tokenizer of a small SD 1.5; returns UNet, autoencoder and text tower."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    words = write_clip(folder / "tokenizer")
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=BLOCKS,
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        attention_head_dim=4,
        cross_attention_dim=WIDTH,
        norm_num_groups=32,
    )
    unet.save_config(folder / "unet")
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=0.18215,
    )
    vae.save_config(folder / "vae")
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=1,
    )
    config.save_pretrained(folder / "text_encoder")
    return unet, vae, CLIPTextModel(config)


def text_state(text: nn.Module) -> dict[str, torch.Tensor]:
    """A text tower's tensors with the `text_model.` level that published files have."""
    return {
        key if key.startswith("text_model.") else f"text_model.{key}": value for key, value in text.state_dict().items()
    }


def motion_state(unet: Any) -> dict[str, torch.Tensor]:
    """A v2 motion module under AnimateDiff's names, its frame positions included."""
    import torch
    from diffusers import MotionAdapter

    adapter = MotionAdapter(block_out_channels=unet.config.block_out_channels, motion_max_seq_length=32)
    state = {}
    for key, value in adapter.state_dict().items():
        if "pos_embed" in key:
            continue
        head, _, tail = key.partition(".motion_modules.")
        index, _, tail = tail.partition(".")
        for ours, theirs in (
            (".norm1.", ".norms.0."),
            (".norm2.", ".norms.1."),
            (".norm3.", ".ff_norm."),
            (".attn1.", ".attention_blocks.0."),
            (".attn2.", ".attention_blocks.1."),
        ):
            tail = tail.replace(ours, theirs)
        name = f"{head}.motion_modules.{index}.temporal_transformer.{tail}"
        # A fresh motion module ends in zeros and would change nothing.
        state[name] = 0.2 * torch.randn_like(value) if ".proj_out.weight" in name else value
        if name.endswith(".to_q.weight"):
            width = value.shape[1]
            state[name.replace("to_q.weight", "pos_encoder.pe")] = torch.zeros(1, 32, width)
    return state


def adapter_state(unet: nn.Module) -> dict[str, torch.Tensor]:
    """`animator.ckpt`: resampler and, on the odd ones of the attention layers, face keys, values and LoRA."""
    import torch

    from mmbench.baselines.id_animator.weights import RESAMPLER_LAYERS, cross_attentions

    def linear(out: int, inner: int) -> torch.Tensor:
        weight: torch.Tensor = torch.randn(out, inner) / inner**0.5
        return weight

    inner = 64 * RESAMPLER_HEADS
    state = {
        "image_proj_model.latents": torch.randn(1, QUERIES, WIDTH) / WIDTH**0.5,
        "image_proj_model.proj_in.weight": linear(WIDTH, 32),
        "image_proj_model.proj_in.bias": torch.zeros(WIDTH),
        "image_proj_model.proj_out.weight": linear(WIDTH, WIDTH),
        "image_proj_model.proj_out.bias": torch.zeros(WIDTH),
        "image_proj_model.norm_out.weight": torch.ones(WIDTH),
        "image_proj_model.norm_out.bias": torch.zeros(WIDTH),
    }
    for layer in range(RESAMPLER_LAYERS):
        root = f"image_proj_model.layers.{layer}"
        for norm in ("0.norm1", "0.norm2", "1.0"):
            state[f"{root}.{norm}.weight"] = 1 + 0.1 * torch.randn(WIDTH)
            state[f"{root}.{norm}.bias"] = 0.1 * torch.randn(WIDTH)
        state[f"{root}.0.to_q.weight"] = linear(inner, WIDTH)
        state[f"{root}.0.to_kv.weight"] = linear(2 * inner, WIDTH)
        state[f"{root}.0.to_out.weight"] = linear(WIDTH, inner)
        state[f"{root}.1.1.weight"] = linear(4 * WIDTH, WIDTH)
        state[f"{root}.1.3.weight"] = linear(WIDTH, 4 * WIDTH)
    weights = dict(unet.named_parameters())
    for index, path in cross_attentions(unet).items():
        hidden = len(weights[f"{path}.to_q.weight"])
        for part in "kv":
            state[f"adapter_modules.{index}.to_{part}_face.weight"] = linear(hidden, WIDTH)
        for part in ("q", "k", "v", "out"):
            out, width = weights[f"{path}.to_{part}{'.0' if part == 'out' else ''}.weight"].shape
            state[f"adapter_modules.{index}.to_{part}_lora.down.weight"] = linear(LORA_RANK, width)
            state[f"adapter_modules.{index}.to_{part}_lora.up.weight"] = 0.1 * torch.randn(out, LORA_RANK)
    return {f"module.{key}": value for key, value in state.items()}


def image_encoder(folder: Path, width: int) -> None:
    """A two-layer CLIP image tower folder for 28-pixel pictures."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=28,
            patch_size=14,
            projection_dim=16,
            hidden_act="gelu",
        )
    ).save_pretrained(folder)
