"""EasyAnimate V5's folder on diffusers' V5.1 classes: renamed attention, two text encoders, one more VAE layer.

With the renaming the transformer's outputs are bit-equal to upstream's. diffusers' autoencoder lacks V5's per-frame
attention in the middle block; its text path knows one encoder, so both encoders run here and T5's tokens are bound
into the transformer's call.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbench.baselines.loading.diffusers_folder import open_part, read_config
from mmbench.baselines.runtime import is_cut
from mmbench.errors import WeightsError
from mmbench.weights import load_strict, read_state, rename_keys
from mmbench.weights.folders import require_file

MAX_TOKENS = 256
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
RENAMED = (
    ("attn2.to_q.", "attn1.add_q_proj."),
    ("attn2.to_k.", "attn1.add_k_proj."),
    ("attn2.to_v.", "attn1.add_v_proj."),
    ("attn2.to_out.0.", "attn1.to_add_out."),
    ("attn2.norm_q.", "attn1.norm_added_q."),
    ("attn2.norm_k.", "attn1.norm_added_k."),
)
IGNORED_TRANSFORMER = {"ref_channels", "clip_channels", "swa_layers", "enable_clip_in_inpaint"}
IGNORED_TRANSFORMER |= {"position_of_clip_embedding", "add_ref_latent_in_control_model"}
"""Upstream's switches for parts that the image-to-video model does not have."""


def open_v5(folder: Path, dtype: torch.dtype | None) -> tuple[Any, TextPair]:
    """The pipeline, without text encoders, and the pair of text encoders. Raises WeightsError, MissingWeights."""
    from diffusers import DDIMScheduler, EasyAnimateInpaintPipeline

    pipe = EasyAnimateInpaintPipeline(
        vae=read_vae(folder / "vae").to(dtype=dtype),
        text_encoder=None,
        tokenizer=None,
        transformer=read_transformer(folder / "transformer").to(dtype=dtype),
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
    )
    return pipe, TextPair.open(folder, dtype)


def read_transformer(folder: Path) -> nn.Module:
    """The transformer, with upstream's second attention of each block renamed to diffusers' added projections."""
    from diffusers import EasyAnimateTransformer3DModel

    config = read_config(folder / "config.json")
    if used := [key for key in ("ref_channels", "clip_channels", "swa_layers") if config.get(key)]:
        raise WeightsError(
            f"{folder}/config.json asks for {used[0]}, which the image-to-video model does not have.",
            "Use alibaba-pai/EasyAnimateV5-12b-zh-InP.",
        )
    options = constructor_options(EasyAnimateTransformer3DModel, config, IGNORED_TRANSFORMER, folder)
    with torch.device("meta"):
        transformer: nn.Module = EasyAnimateTransformer3DModel(**options)
    transformer.to_empty(device="cpu")
    path = require_file(folder / WEIGHTS_FILE)
    load_strict(transformer, rename_keys(read_state(path), transformer_key), str(path))
    return transformer.eval()


def transformer_key(key: str) -> str:
    """diffusers' name of one tensor of the transformer."""
    for theirs, ours in RENAMED:
        if f".{theirs}" in key:
            return key.replace(theirs, ours)
    return key


def read_vae(folder: Path) -> nn.Module:
    """The autoencoder with the per-frame attention in its two middle blocks."""
    from diffusers import AutoencoderKLMagvit

    config = read_config(folder / "config.json")
    if config.get("mid_block_attention_type") != "spatial" or config.get("mid_block_num_attention_heads", 1) != 1:
        raise WeightsError(
            f"{folder}/config.json: middle attention {config.get('mid_block_attention_type')!r}, expected one "
            "spatial head.",
            "Use alibaba-pai/EasyAnimateV5-12b-zh-InP.",
        )
    known = inspect.signature(AutoencoderKLMagvit.__init__).parameters
    options = {key: as_list(value) for key, value in config.items() if key in known}
    options["spatial_group_norm"] = bool(config.get("spatial_group_norm", False))
    vae: Any = AutoencoderKLMagvit(**options)
    groups, width = vae.config.norm_num_groups, vae.config.block_out_channels[-1]
    for half in (vae.encoder, vae.decoder):
        half.mid_block = MidBlock(half.mid_block.convs, width, groups)
    path = require_file(folder / WEIGHTS_FILE)
    load_strict(vae, read_state(path), str(path))
    found: nn.Module = vae.eval()
    return found


def as_list(value: object) -> object:
    """Upstream writes lists of block types as text; anything else passes through."""
    if isinstance(value, str) and value.startswith(("(", "[")):
        return list(ast.literal_eval(value))
    return value


def constructor_options(cls: type, config: dict[str, Any], ignored: set[str], folder: Path) -> dict[str, Any]:
    """The entries of `config` that `cls` takes; WeightsError for one that is neither taken nor known to be ignored."""
    known = set(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]
    options = {key: value for key, value in config.items() if not key.startswith("_")}
    if strange := sorted(set(options) - known - ignored):
        raise WeightsError(
            f"{folder}/config.json has settings that this version does not know: {strange}.",
            "The folder is of another release than the one this loader was written for.",
        )
    return {key: value for key, value in options.items() if key in known}


class MidBlock(nn.Module):
    """Residual block, per-frame attention, residual block, as often as there are pairs."""

    def __init__(self, convs: nn.ModuleList, width: int, groups: int) -> None:
        super().__init__()
        self.convs = convs
        self.attentions = nn.ModuleList(FrameAttention(width, groups) for _ in convs[1:])

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(batch, width, frames, height, width)."""
        hidden_states = self.convs[0](hidden_states)
        for attention, conv in zip(self.attentions, self.convs[1:], strict=True):
            hidden_states = conv(attention(hidden_states))
        return hidden_states


class FrameAttention(nn.Module):
    """Self-attention over the pixels of each frame: group norm, one head, residual."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, frames, height, width)."""
        batch, _, _, height, width = x.shape
        rows = x.transpose(1, 2).flatten(0, 1).flatten(2)
        normed = self.group_norm(rows).transpose(1, 2)
        seen = F.scaled_dot_product_attention(self.to_q(normed), self.to_k(normed), self.to_v(normed))
        out = rows + self.to_out(seen).transpose(1, 2)
        after: Tensor = out.view(batch, -1, *out.shape[1:2], height, width).transpose(1, 2)
        return after


class TextPair:
    """BERT and T5: each padded to at most 256 tokens, run without a mask, last hidden state."""

    def __init__(self, bert: nn.Module, bert_tokenizer: Any, t5: nn.Module, t5_tokenizer: Any) -> None:
        self.bert, self.bert_tokenizer = bert, bert_tokenizer
        self.t5, self.t5_tokenizer = t5, t5_tokenizer

    @classmethod
    def open(cls, folder: Path, dtype: torch.dtype | None) -> TextPair:
        """Read both encoders and tokenizers of the folder."""
        from transformers import BertTokenizer, T5Tokenizer

        return cls(
            open_part("transformers", "BertModel", folder / "text_encoder", dtype, idle=("pooler.",)),
            BertTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            open_part("transformers", "T5EncoderModel", folder / "text_encoder_2", dtype),
            T5Tokenizer.from_pretrained(folder / "tokenizer_2", local_files_only=True),
        )

    def to(self, device: torch.device | str) -> None:
        """Move both encoders."""
        self.bert.to(device)
        self.t5.to(device)

    def arguments(self, pipe: Any, prompt: str, negative: str, guided: bool) -> tuple[dict[str, Tensor], bool]:
        """The pipeline's text arguments, after T5's tokens are bound into its transformer; whether a text was cut."""
        texts = {"positive": prompt, "negative": negative}
        bert = {kind: encode(self.bert, self.bert_tokenizer, text) for kind, text in texts.items()}
        t5 = {kind: encode(self.t5, self.t5_tokenizer, text)[0] for kind, text in texts.items()}
        bound = torch.cat([t5["negative"], t5["positive"]]) if guided else t5["positive"]
        bind_t5(pipe.transformer, bound.to(pipe.transformer.dtype))
        arguments = {
            "prompt_embeds": bert["positive"][0],
            "prompt_attention_mask": bert["positive"][1],
            "negative_prompt_embeds": bert["negative"][0],
            "negative_prompt_attention_mask": bert["negative"][1],
        }
        cut = any(
            is_cut(tokenizer, prompt, token_limit(tokenizer)) for tokenizer in (self.bert_tokenizer, self.t5_tokenizer)
        )
        return arguments, cut


def encode(encoder: Any, tokenizer: Any, text: str) -> tuple[Tensor, Tensor]:
    """Last hidden state (1, tokens, width) of padded text, and the padding mask, which the encoder is not given."""
    found = tokenizer(
        text, padding="max_length", max_length=token_limit(tokenizer), truncation=True, return_tensors="pt"
    ).to(encoder.device)
    return encoder(input_ids=found.input_ids).last_hidden_state, found.attention_mask


def token_limit(tokenizer: Any) -> int:
    """256 tokens, or the tokenizer's own limit where that is less."""
    return min(int(tokenizer.model_max_length), MAX_TOKENS)


def bind_t5(transformer: Any, tokens: Tensor) -> None:
    """Make the transformer's forward add `tokens` as its second text; replaces an earlier binding."""
    plain = type(transformer).forward

    def forward(*arguments: Any, **named: Any) -> Any:
        return plain(transformer, *arguments, encoder_hidden_states_t5=tokens, **named)

    transformer.forward = forward
