"""A tiny RealVisXL folder and a tiny photomaker-v2.bin with the published key names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.loading.tiny_tokenizers import write_clip
from mmbench.baselines.photomaker_v2.model import ADAPTER_REPO, BASE_REPO

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import CLIPTextConfig

TEXT_WIDTH = 32
WIDTH = 2 * TEXT_WIDTH
"""SDXL's cross-attention width: both text encoders' widths together, and the fusion module's."""
TAU_LAYERS, VISION_WIDTH, VISION_LAYERS, LORA_RANK = 2, 64, 2, 4


def make_photomaker(root: Path) -> None:
    """Both repositories."""
    import torch

    unet = make_sdxl(hub_folder(root, BASE_REPO))
    state = {"id_encoder": id_encoder_state(), "lora_weights": lora_state(unet)}
    torch.save(state, hub_folder(root, ADAPTER_REPO) / "photomaker-v2.bin")


def make_sdxl(folder: Path) -> Any:
    """A two-block SDXL pipeline folder; returns its UNet."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    words = write_clip(folder / "tokenizer")
    write_clip(folder / "tokenizer_2", pad="!")
    unet, vae = sdxl_unet(), sdxl_vae()
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config(words, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(text_config(words, "gelu")),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    ).save_pretrained(folder)
    return unet


def text_config(words: int, act: str) -> CLIPTextConfig:
    """Two layers over a vocabulary of so many `words`; the last two begin and end a text."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=TEXT_WIDTH,
        hidden_act=act,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=1,
    )


def sdxl_unet() -> Any:
    """Two blocks, the second with cross-attention strong enough that the text shows."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1),
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + TEXT_WIDTH,
        cross_attention_dim=WIDTH,
    ).eval()
    for name, weight in unet.named_parameters():
        if ".attn2.to_v." in name:
            weight.data *= 20  # let the text matter, which random cross-attention all but averages away
    return unet


def sdxl_vae() -> Any:
    """SDXL's four stages at width 8."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=0.13025,
    ).eval()


def id_encoder_state() -> dict[str, torch.Tensor]:
    """The `id_encoder` dict: upstream's keys, small widths; ViT of 28-pixel pictures."""
    import torch

    def linear(name: str, out: int, inner: int, bias: bool = True) -> dict[str, torch.Tensor]:
        layer = {f"{name}.weight": torch.randn(out, inner) / inner**0.5}
        return {**layer, f"{name}.bias": 0.02 * torch.randn(out)} if bias else layer

    def norm(name: str, width: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}

    width, vision = WIDTH, VISION_WIDTH
    state = {
        "vision_model.embeddings.class_embedding": torch.randn(vision),
        "vision_model.embeddings.patch_embedding.weight": torch.randn(vision, 3, 14, 14) / 24,
        "vision_model.embeddings.position_embedding.weight": 0.1 * torch.randn(5, vision),
        **norm("vision_model.pre_layrnorm", vision),
        **norm("vision_model.post_layernorm", vision),
        **linear("visual_projection", 48, vision, bias=False),
        **linear("visual_projection_2", 80, vision, bias=False),
        **linear("qformer_perceiver.token_proj.0", 2048, 512),
        **linear("qformer_perceiver.token_proj.2", 2 * width, 2048),
        **norm("qformer_perceiver.token_norm", width),
        **linear("fuse_module.mlp1.fc1", width, 2 * width),
        **linear("fuse_module.mlp1.fc2", width, width),
        **norm("fuse_module.mlp1.layernorm", 2 * width),
        **linear("fuse_module.mlp2.fc1", width, width),
        **linear("fuse_module.mlp2.fc2", width, width),
        **norm("fuse_module.mlp2.layernorm", width),
        **norm("fuse_module.layer_norm", width),
    }
    for index in range(VISION_LAYERS):
        layer = f"vision_model.encoder.layers.{index}"
        for part in "qkv":
            state |= linear(f"{layer}.self_attn.{part}_proj", vision, vision)
        state |= linear(f"{layer}.self_attn.out_proj", vision, vision)
        state |= norm(f"{layer}.layer_norm1", vision) | norm(f"{layer}.layer_norm2", vision)
        state |= linear(f"{layer}.mlp.fc1", 96, vision) | linear(f"{layer}.mlp.fc2", vision, 96)
    resampler = "qformer_perceiver.perceiver_resampler"
    state |= linear(f"{resampler}.proj_in", width, vision) | linear(f"{resampler}.proj_out", width, width)
    state |= norm(f"{resampler}.norm_out", width)
    heads_width = 128 * max(1, width // 128)
    for index in range(TAU_LAYERS):
        layer = f"{resampler}.layers.{index}"
        state |= norm(f"{layer}.0.norm1", width) | norm(f"{layer}.0.norm2", width)
        state |= linear(f"{layer}.0.to_q", heads_width, width, bias=False)
        state |= linear(f"{layer}.0.to_kv", 2 * heads_width, width, bias=False)
        state |= linear(f"{layer}.0.to_out", width, heads_width, bias=False)
        state |= norm(f"{layer}.1.0", width)
        state |= linear(f"{layer}.1.1", 4 * width, width, bias=False)
        state |= linear(f"{layer}.1.3", width, 4 * width, bias=False)
    return state


def lora_state(unet: nn.Module) -> dict[str, torch.Tensor]:
    """The `lora_weights` dict: low-rank pairs on q, k, v and out of every attention."""
    import torch

    state = {}
    for name, weight in unet.named_parameters():
        path, _, part = name.rpartition(".to_")
        if not path.endswith(("attn1", "attn2")) or not part.endswith("weight"):
            continue
        key = f"unet.{path}.processor.to_{part.split('.')[0]}_lora"
        state[f"{key}.down.weight"] = torch.randn(LORA_RANK, weight.shape[1]) / LORA_RANK
        state[f"{key}.up.weight"] = 0.1 * torch.randn(weight.shape[0], LORA_RANK)
    return state
