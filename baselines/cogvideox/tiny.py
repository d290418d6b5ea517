"""Tiny CogVideoX-5B and CogVideoX-5B-I2V folders: 9 frames of 32x48."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.cogvideox.model import CogVideoX, CogVideoXI2V
from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.loading.tiny_tokenizers import write_t5

if TYPE_CHECKING:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
    from transformers import T5EncoderModel, T5Tokenizer

TEXT_TOKENS = 226
TEXT_WIDTH = 32


def make_cogvideox(root: Path) -> None:
    """Text to video, in the layout of THUDM/CogVideoX-5b."""
    from diffusers import CogVideoXPipeline

    folder = hub_folder(root, CogVideoX.repo)
    tokenizer, text_encoder = t5(folder / "tokenizer")
    CogVideoXPipeline(tokenizer, text_encoder, vae(), transformer(4, False), ddim()).save_pretrained(folder)


def make_cogvideox_i2v(root: Path) -> None:
    """Image to video, in the layout of THUDM/CogVideoX-5b-I2V: twice the input channels and learned positions."""
    from diffusers import CogVideoXImageToVideoPipeline

    folder = hub_folder(root, CogVideoXI2V.repo)
    tokenizer, text_encoder = t5(folder / "tokenizer")
    pipe = CogVideoXImageToVideoPipeline(tokenizer, text_encoder, vae(), transformer(8, True), ddim())
    pipe.save_pretrained(folder)


def t5(tokenizer_folder: Path, width: int = TEXT_WIDTH) -> tuple[T5Tokenizer, T5EncoderModel]:
    """A one-layer T5 encoder and its tokenizer."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    size = write_t5(tokenizer_folder, TEXT_TOKENS)
    encoder = T5EncoderModel(
        T5Config(
            vocab_size=size,
            d_model=width,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    return T5Tokenizer.from_pretrained(tokenizer_folder), encoder.eval()


def vae() -> AutoencoderKLCogVideoX:
    """The 3D autoencoder with four levels of 8 channels, 4 latent channels."""
    from diffusers import AutoencoderKLCogVideoX

    return AutoencoderKLCogVideoX(
        in_channels=3,
        out_channels=3,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
        scaling_factor=0.7,
        sample_height=96,  # tiles of half this: larger than the tiny frames, which are too small to cut
        sample_width=96,
    ).eval()


def transformer(in_channels: int, learned_positions: bool) -> CogVideoXTransformer3DModel:
    """Two layers of four 16-wide heads."""
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(**transformer_config(in_channels, learned_positions)).eval()


def transformer_config(in_channels: int, learned_positions: bool) -> dict[str, Any]:
    """Settings of the tiny transformer, ConsisID's too (3D rotary positions need heads of a multiple of 16)."""
    return {
        "num_attention_heads": 4,
        "attention_head_dim": 16,
        "in_channels": in_channels,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": TEXT_WIDTH,
        "num_layers": 2,
        "sample_width": 6,
        "sample_height": 4,
        "sample_frames": 9,
        "patch_size": 2,
        "temporal_compression_ratio": 4,
        "max_text_seq_length": TEXT_TOKENS,
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": learned_positions,
    }


def ddim() -> CogVideoXDDIMScheduler:
    """The scheduler file of the 5B repositories; the wrapper switches to DPM, as upstream does."""
    from diffusers import CogVideoXDDIMScheduler

    return CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        set_alpha_to_one=True,
        snr_shift_scale=1.0,
        timestep_spacing="trailing",
    )
