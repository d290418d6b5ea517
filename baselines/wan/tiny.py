"""Tiny parts in the layout of Wan 2.1's diffusers folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.loading.tiny_tokenizers import write_t5
from mmbench.baselines.wan.loader import TEXT_TOKENS

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from transformers import T5Tokenizer, UMT5EncoderModel

TEXT_WIDTH = 32


def umt5(tokenizer_folder: Path) -> tuple[T5Tokenizer, UMT5EncoderModel]:
    """A one-layer UMT5 encoder and its tokenizer."""
    from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

    size = write_t5(tokenizer_folder, TEXT_TOKENS)
    config = UMT5Config(
        vocab_size=size,
        d_model=TEXT_WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
    )
    return T5Tokenizer.from_pretrained(tokenizer_folder), UMT5EncoderModel(config).eval()


def vae() -> AutoencoderKLWan:
    """Wan's causal autoencoder with 8 channels a level; 16 latent channels, 8x8 pixels and 4 frames a latent."""
    from diffusers import AutoencoderKLWan

    found = AutoencoderKLWan(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    ).eval()
    found.quant_conv.weight.data *= 100  # random weights encode every picture as nearly the same latent
    return found


def transformer_config() -> dict[str, Any]:
    """Settings of the tiny transformer: three layers of two 12-wide heads."""
    return {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "text_dim": TEXT_WIDTH,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 3,
    }


def scheduler() -> UniPCMultistepScheduler:
    """The scheduler file of the 480P folders."""
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
