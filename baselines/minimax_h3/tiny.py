"""A tiny MiniMax-H3 folder, in the layout of MiniMaxAI/MiniMax-H3 without other tasks: 124 frames of 32x64."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.loading.tiny_tokenizers import write_qwen2
from mmbench.baselines.minimax_h3.model import INDEX, NETWORKS, REPOSITORY, SCHEDULERS, SHORT_EDGE
from mmbench.files import write_json

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEXT_WIDTH = 16
SPREAD = 0.3
"""Standard deviation of the text encoder's weights: by the usual 0.02 all texts and pictures read alike."""
PATCH = 4
"""Pixels a side of a patch of the reader of pictures."""


def make_minimax_h3(root: Path) -> None:
    """Write the folder. The text's state after 50 layers is what the video is made from, so its encoder has 51."""
    from diffusers import AutoencoderKLMiniMaxH3, MiniMaxH3Scheduler, MiniMaxH3Transformer3DModel

    folder = hub_folder(root, REPOSITORY.name)
    write_index(folder / INDEX)
    vocabulary = write_qwen2(folder / "tokenizer", TOKENS)
    write_processor(folder / "processor", folder / "tokenizer")
    text_encoder(vocabulary).save_pretrained(folder / "text_encoder")
    for name, shift in (("scheduler", 12.0), ("audio_scheduler", 3.0)):
        MiniMaxH3Scheduler(shift=shift).save_pretrained(folder / name)
    vae = AutoencoderKLMiniMaxH3(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        spatial_downsample_factors=(2, 2, 2, 2),
        temporal_downsample_factors=(1, 2, 2, 1),
        norm_num_groups=4,
        decoder_num_layers=1,
        decoder_num_attention_heads=2,
        decoder_attention_head_dim=8,
        decoder_num_register_tokens=1,
        decoder_ffn_mult=2,
        latents_mean=(0.0,) * 4,
        latents_std=(1.0,) * 4,
    )
    vae.quant_conv.weight.data *= 100  # random weights encode every picture as nearly the same latent
    vae.save_pretrained(folder / "vae")
    write_audio_vae(folder / "audio_vae")
    transformer = MiniMaxH3Transformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        hidden_size=32,
        num_layers=2,
        num_refiner_layers=1,
        ffn_dim=32,
        in_channels=4,
        audio_in_channels=4,
        text_dim=TEXT_WIDTH,
        freq_dim=16,
        time_embed_hidden_dim=32,
        time_embed_dim=16,
        rope_freq_dim=2,
    )
    for weight in transformer.parameters():
        if weight.ndim == 2:
            weight.data *= 3  # else what is beside a row hardly moves it
    transformer.save_pretrained(folder / "transformer_ref")


def write_index(path: Path) -> None:
    """The index of the modular pipeline, whose parts are said to lie in the published repository, as its own says."""
    classes = {
        **NETWORKS,
        **dict.fromkeys(SCHEDULERS, ("diffusers", "MiniMaxH3Scheduler")),
        "tokenizer": ("transformers", "Qwen2Tokenizer"),
        "processor": ("transformers", "Qwen3VLProcessor"),
    }
    parts = {
        name: [*found, {"type_hint": found, "pretrained_model_name_or_path": REPOSITORY.name, "subfolder": name}]
        for name, found in classes.items()
    }
    names = {"_class_name": "MiniMaxH3ModularPipeline", "_blocks_class_name": "MiniMaxH3Blocks"}
    write_json(path, {**names, SHORT_EDGE: 64, **parts})


def write_audio_vae(folder: Path) -> None:
    """An autoencoder of sound with the published rates: 800 samples a latent."""
    from diffusers import AutoencoderKLMiniMaxH3Audio

    AutoencoderKLMiniMaxH3Audio(
        encoder_dim=2,
        latent_dim=16,
        latent_channels=4,
        num_attention_heads=2,
        decoder_dim=128,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    ).save_pretrained(folder)


def text_encoder(vocabulary: int) -> Qwen3VLForConditionalGeneration:
    """A Qwen3-VL of 51 narrow layers whose picture tokens are the last of its vocabulary."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    start, end, image, video = range(vocabulary - len(TOKENS), vocabulary)
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 16,
            "num_hidden_layers": 51,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
            "initializer_range": SPREAD,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "patch_size": PATCH,
            "out_hidden_size": TEXT_WIDTH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            "initializer_range": SPREAD,
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    return Qwen3VLForConditionalGeneration(config).eval()


def write_processor(folder: Path, tokenizer: Path) -> None:
    """The reader of pictures, which sees at most 32 by 32 pixels of each."""
    from transformers import AutoTokenizer, Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    sizes = {"shortest_edge": 16 * 16, "longest_edge": 32 * 32}
    pictures = Qwen2VLImageProcessor(patch_size=PATCH, size=sizes, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    videos = Qwen3VLVideoProcessor(patch_size=PATCH)
    Qwen3VLProcessor(pictures, AutoTokenizer.from_pretrained(tokenizer), videos).save_pretrained(folder)
