"""ViCLIP-L/14 (InternVid, Wang et al., ICLR 2024) on open_clip's transformer blocks: video and text towers.

Attributes are named as in the published checkpoint, so its keys load without a map except for one squeezed axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip.transformer import LayerNorm, QuickGELU, TextTransformer, Transformer
from torch import Tensor, nn

FRAMES = 8


@dataclass(frozen=True)
class ViClipSize:
    """Sizes of both towers. `side` is in pixels and a multiple of `patch`."""

    vision_width: int = 1024
    vision_layers: int = 24
    vision_heads: int = 16
    patch: int = 14
    side: int = 224
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    tokens: int = 32
    vocabulary: int = 49408
    out: int = 768


LARGE = ViClipSize()
TINY = ViClipSize(
    vision_width=32, vision_layers=2, vision_heads=2, patch=56, text_width=32, text_layers=2, text_heads=2
)


class VideoTower(nn.Module):
    """Eight frames to one vector, by attention over all patches of all frames at once."""

    def __init__(self, size: ViClipSize) -> None:
        super().__init__()
        width = size.vision_width
        patches = (size.side // size.patch) ** 2
        self.conv1 = nn.Conv2d(3, width, size.patch, size.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(patches + 1, width) * width**-0.5)
        self.temporal_positional_embedding = nn.Parameter(torch.randn(1, FRAMES, width) * width**-0.5)
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(width, size.vision_layers, size.vision_heads, act_layer=QuickGELU)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, size.out) * width**-0.5)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames (B, 8, 3, side, side) -> features (B, out), not normalised.

        Every frame's patches get the spatial and their frame's temporal position; one class token a clip gets
        the first spatial position only. Of the last block only the class token's row is computed: nothing
        else of it is read.
        """
        batch, count = frames.shape[:2]
        patches = self.conv1(frames.flatten(0, 1)).flatten(2).transpose(1, 2)
        patches = (patches + self.positional_embedding[1:]).unflatten(0, (batch, count))
        patches = (patches + self.temporal_positional_embedding[:, :, None]).flatten(1, 2)
        first = (self.class_embedding + self.positional_embedding[0]).expand(batch, 1, -1)
        x = self.ln_pre(torch.cat([first, patches], dim=1))
        *blocks, last = self.transformer.resblocks
        for block in blocks:
            seen = block.ln_1(x)
            x = x + attend(block.attn, seen, seen)
            x = x + block.mlp(block.ln_2(x))
        seen = last.ln_1(x)
        token = x[:, :1] + attend(last.attn, seen[:, :1], seen)
        token = token + last.mlp(last.ln_2(token))
        features: Tensor = self.ln_post(token[:, 0]) @ self.proj
        return features


def attend(attention: nn.MultiheadAttention, queries: Tensor, seen: Tensor) -> Tensor:
    """Multi-head attention of (B, Q, C) queries over (B, N, C) tokens, by torch's fused kernel.

    The module's own forward takes, without gradients, a path that stores all N x N scores of every head.
    """
    width = attention.embed_dim
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    projected = (
        F.linear(queries, weight[:width], bias[:width]),
        *F.linear(seen, weight[width:], bias[width:]).chunk(2, dim=-1),
    )
    heads = attention.num_heads
    query, key, value = (part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in projected)
    mixed = F.scaled_dot_product_attention(query, key, value)
    out: Tensor = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    return out


def text_tower(size: ViClipSize) -> nn.Module:
    """open_clip's text transformer at ViCLIP's sizes: token ids (B, tokens) -> (B, out), not normalised."""
    tower: nn.Module = TextTransformer(
        context_length=size.tokens,
        vocab_size=size.vocabulary,
        width=size.text_width,
        heads=size.text_heads,
        layers=size.text_layers,
        output_dim=size.out,
        act_layer=QuickGELU,
    )
    return tower
