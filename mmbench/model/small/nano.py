"""The small models, whole: codec, tokenizer, text encoder and random weights, so that everything runs on a CPU.

`build_pipeline("nano")` is the same classes as the full-size model with small numbers (README, "Nano"). Its
weights are random and say so; nothing is downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmbench.errors import RequestError, require_extra
from mmbench.model.network.configs import ModelSize, size_named
from mmbench.model.pipeline.prompt import SMALL_IDENTITY_WORDS

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedTokenizerFast, T5EncoderModel

    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

_WORDS = (
    "a an the is in on with and of her his their its at by to from young old elderly middle aged smiling "
    "talking laughing walking running singing dancing cooking reading playing looking turning nodding waving "
    "sitting standing riding climbing painting camera park street beach kitchen garden room city forest snow "
    "rain sun wearing red blue green yellow white black shirt dress hat glasses jacket blouse hair long short "
    "close up portrait photo video style anime oil cinematic background light soft bright dark golf guitar "
    "horse radio police serene delicate features slowly happily gently left right towards "
    "posing shaking swaying before wall "
)
_WORD_BEFORE, _NEXT_WORD = 1, 17
"""T5's buckets of the distances -1 and +1 (32 buckets, half of them for what follows)."""
VOCABULARY = (*SMALL_IDENTITY_WORDS, *_WORDS.split())
"""Every word that the offline tokenizer knows; any other word is one unknown token."""


def build_pipeline(variant: Literal["nano", "smoke"] = "nano", seed: int = 0) -> MagicMirrorPipeline:
    """A complete small pipeline with random weights (`weights_note == "random"`), in under two seconds.

    The parts that start at zero are random too, so that the identity visibly enters the result. The codec is
    fitted to drawn clips. Same seed, same weights.
    """
    require_extra("generate")
    from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler

    from mmbench.face.stand_in import CentreFaces
    from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

    size = size_named(variant)
    if size.codec is None:
        raise RequestError(f"'{variant}' has no random weights.", "Use 'nano' or 'smoke'.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = MagicMirrorTransformer3DModel(**size.transformer)
        face_encoder = MagicMirrorFaceEncoder(**size.face_encoder)
        text_encoder = tiny_text_encoder(size)
        randomise_zeros(transformer)
        randomise_zeros(face_encoder)
    pipeline = MagicMirrorPipeline(
        tokenizer=offline_tokenizer(size),
        text_encoder=text_encoder.eval(),
        vae=fitted_codec(size),
        transformer=transformer.eval(),
        scheduler=CogVideoXDPMScheduler(**COGVIDEOX_5B_SCHEDULE),
        face_encoder=face_encoder.eval(),
        weights_note="random",
    )
    pipeline.face_analyser = CentreFaces(size.face_encoder["embedding_dim"])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


COGVIDEOX_5B_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
    "timestep_spacing": "trailing",
}
"""CogVideoX-5B's noise schedule."""


def randomise_zeros(module: torch.nn.Module) -> None:
    """Give every weight matrix that starts at zero small random values."""
    for parameter in module.parameters():
        if parameter.ndim > 1 and not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.02)


def tiny_text_encoder(size: ModelSize) -> T5EncoderModel:
    """A random T5 encoder of the size's width over the offline vocabulary.

    Its first layer looks at the neighbours: one head at the next word, one at the word before. The transformer knows no
    order of the text rows, so "a red shirt before a blue wall" would else be a blue shirt as well.
    """
    from transformers import T5Config, T5EncoderModel

    if size.text_layers_heads is None:
        raise RequestError(f"'{size.name}' uses T5-XXL.", "Load it from the base model.")
    layers, heads = size.text_layers_heads
    width = size.transformer["text_embed_dim"]
    config = T5Config(
        vocab_size=len(_pieces()),
        d_model=width,
        d_kv=width // heads,
        d_ff=2 * width,
        num_layers=layers,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
    )
    encoder = T5EncoderModel(config)
    attention = encoder.encoder.block[0].layer[0].SelfAttention
    with torch.no_grad():
        attention.q.weight.zero_()
        attention.relative_attention_bias.weight.zero_()
        attention.relative_attention_bias.weight[_NEXT_WORD, 0] = 8.0
        attention.relative_attention_bias.weight[_WORD_BEFORE, 1] = 8.0
    return encoder


def offline_tokenizer(size: ModelSize) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer over `VOCABULARY`, with offsets, built in code."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = _pieces()
    core = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=size.transformer["max_text_seq_length"],
    )


def _pieces() -> list[str]:
    return ["<pad>", "</s>", "<unk>", *dict.fromkeys(f"\u2581{word}" for word in VOCABULARY), ",", "."]


def fitted_codec(size: ModelSize) -> Any:
    """The size's PatchPCA codec, fitted to drawn clips; always the same."""
    from mmbench.model.small.codec import PatchPCACodec

    if size.codec is None:
        raise RequestError(f"'{size.name}' uses CogVideoX's VAE.", "Load it from the base model.")
    codec = PatchPCACodec(*size.codec)
    codec.fit(drawn_clips(24, size.frames, size.height))
    return codec.eval()


def drawn_clips(count: int, frames: int, side: int, seed: int = 0) -> Tensor:
    """Clips of a drawn face that moves: float32 [count, 3, frames, side, side] in [-1, 1]."""
    rng = np.random.default_rng(seed)
    clips = np.stack([_drawn_clip(rng, frames, side) for _ in range(count)])
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3) * 2 - 1


def example_reference(seed: int = 0, side: int = 96) -> Image:
    """A drawn face to try a small model with; another seed is another face."""
    from PIL import Image

    frame = _drawn_clip(np.random.default_rng(1000 + seed), 1, side)[0]
    return Image.fromarray((frame * 255).round().astype(np.uint8))


def _drawn_clip(rng: np.random.Generator, frames: int, side: int) -> NDArray[np.float32]:
    """Background gradient, skin ellipse, hair cap, two eyes and a mouth; [frames, side, side, 3] in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    skin, hair, ends = rng.uniform(0.3, 0.9, 3), rng.uniform(0.0, 0.5, 3), rng.uniform(0.0, 1.0, (2, 3))
    wide, eyes, speed = rng.uniform(0.15, 0.24), rng.uniform(0.05, 0.09), rng.uniform(-0.02, 0.02, 2)
    clip = []
    for index in range(frames):
        dx, dy = x - speed[0] * index, y - speed[1] * index
        frame = ends[0] + (y[..., None] + 0.5) * (ends[1] - ends[0])
        head = (dx / wide) ** 2 + (dy / (1.3 * wide)) ** 2 < 1
        frame[head] = skin
        frame[head & (dy < -0.6 * wide)] = hair
        for sign in (-1, 1):
            frame[(dx - sign * eyes) ** 2 + (dy + 0.03) ** 2 < 0.02**2] = 0.05
        frame[(np.abs(dx) < 0.06) & (np.abs(dy - 0.12) < 0.008 + 0.01 * np.sin(index) ** 2)] = (0.7, 0.2, 0.2)
        clip.append(frame)
    return np.stack(clip).clip(0, 1).astype(np.float32)
