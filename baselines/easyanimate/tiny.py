"""Tiny EasyAnimate folders: V5.1 in diffusers' layout, V5 in its own with upstream's key names and settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.cogvideox.tiny import t5
from mmbench.baselines.easyanimate.model import REPOS
from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.loading.tiny_tokenizers import write_bert, write_qwen2
from mmbench.files import write_json

if TYPE_CHECKING:
    from diffusers import EasyAnimateTransformer3DModel

BLOCKS = (8, 8, 8, 8)
DOWN = ("SpatialDownBlock3D",) + ("SpatialTemporalDownBlock3D",) * 3
UP = ("SpatialUpBlock3D",) + ("SpatialTemporalUpBlock3D",) * 3
LATENT, WIDTH, T5_WIDTH = 4, 32, 24
VAE: dict[str, Any] = {
    "latent_channels": LATENT,
    "block_out_channels": BLOCKS,
    "down_block_types": DOWN,
    "up_block_types": UP,
    "norm_num_groups": 2,
    "layers_per_block": 2,
    "scaling_factor": 0.7125,
    "spatial_group_norm": True,
}


def make_easyanimate(root: Path) -> None:
    """Both releases."""
    make_v51(hub_folder(root, REPOS["v5.1"]))
    make_v5(hub_folder(root, REPOS["v5"]))


def make_v51(folder: Path) -> None:
    """V5.1: Qwen2-VL text, flow matching; the folder that `save_pretrained` writes."""
    from diffusers import AutoencoderKLMagvit, EasyAnimateInpaintPipeline, FlowMatchEulerDiscreteScheduler
    from transformers import Qwen2Tokenizer

    words = write_qwen2(folder / "tokenizer")
    EasyAnimateInpaintPipeline(
        vae=AutoencoderKLMagvit(**VAE).eval(),
        text_encoder=qwen2_vl(words),
        tokenizer=Qwen2Tokenizer.from_pretrained(folder / "tokenizer"),
        transformer=transformer(add_norm=True, t5_width=None),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)


def make_v5(folder: Path) -> None:
    """V5: BERT and T5 text, DDIM, per-frame attention in the autoencoder."""
    from diffusers import AutoencoderKLMagvit, DDIMScheduler
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    from mmbench.baselines.easyanimate.v5 import RENAMED, WEIGHTS_FILE, MidBlock

    words = write_bert(folder / "tokenizer", 64)
    BertModel(
        BertConfig(
            vocab_size=words,
            hidden_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=37,
            max_position_embeddings=64,
        )
    ).save_pretrained(folder / "text_encoder")
    t5(folder / "tokenizer_2", T5_WIDTH)[1].save_pretrained(folder / "text_encoder_2")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    ).save_pretrained(folder / "scheduler")
    network = transformer(add_norm=False, t5_width=T5_WIDTH)
    state = {}
    for key, value in network.state_dict().items():
        for theirs, ours in RENAMED:
            key = key.replace(ours, theirs)
        state[key] = value
    settings = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}
    extra = {"enable_clip_in_inpaint": False, "ref_channels": None, "clip_channels": None, "swa_layers": None}
    write(folder / "transformer" / "config.json", {**settings, **extra})
    save_file(state, folder / "transformer" / WEIGHTS_FILE)
    vae: Any = AutoencoderKLMagvit(**VAE)
    for half in (vae.encoder, vae.decoder):
        half.mid_block = MidBlock(half.mid_block.convs, BLOCKS[-1], VAE["norm_num_groups"])
    written = {key: str(value) if key.endswith("block_types") else value for key, value in VAE.items()}
    spatial = {"mid_block_attention_type": "spatial", "mid_block_num_attention_heads": 1, "cache_mag_vae": True}
    (folder / "vae").mkdir(exist_ok=True)
    write(folder / "vae" / "config.json", {**written, **spatial})
    save_file(vae.state_dict(), folder / "vae" / WEIGHTS_FILE)


def transformer(add_norm: bool, t5_width: int | None) -> EasyAnimateTransformer3DModel:
    """One two-stream layer of two 16-wide heads, 4 + 1 + 4 input channels."""
    from diffusers import EasyAnimateTransformer3DModel

    return EasyAnimateTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=2 * LATENT + 1,
        out_channels=LATENT,
        patch_size=2,
        num_layers=1,
        mmdit_layers=1000,
        time_embed_dim=8,
        add_norm_text_encoder=add_norm,
        text_embed_dim=WIDTH,
        text_embed_dim_t5=t5_width,
        enable_text_attention_mask=t5_width is None,
    ).eval()


def qwen2_vl(words: int) -> Any:
    """A one-layer Qwen2-VL; only its language side is used."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    return Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            text_config={
                "vocab_size": words,
                "hidden_size": WIDTH,
                "intermediate_size": 37,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "rope_scaling": {"rope_type": "default", "type": "mrope", "mrope_section": [2, 3, 3]},
                "bos_token_id": words - 1,
                "eos_token_id": words - 1,
            },
            vision_config={
                "depth": 1,
                "embed_dim": 16,
                "num_heads": 2,
                "hidden_size": WIDTH,
                "mlp_ratio": 1,
                "patch_size": 14,
            },
            image_token_id=0,
            video_token_id=0,
            vision_start_token_id=0,
            vision_end_token_id=0,
        )
    ).eval()


def write(path: Path, document: object) -> None:
    """A JSON file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)
