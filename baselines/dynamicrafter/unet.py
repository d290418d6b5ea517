"""DynamiCrafter's denoiser: diffusers' 3D UNet with a frame-rate embedding and image tokens in the cross-attention.

Those two additions (Xing et al. 2023, section 3) make the 1,516 tensors of the published network; random upstream
weights give equal outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers import UNet3DConditionModel

    from mmbench.baselines.dynamicrafter.layout import Layout

TEXT_TOKENS = 77


class RateTimeEmbedding(nn.Module):
    """The time embedding plus an embedding of the frame rate (or, in the 256 model, the frame stride)."""

    def __init__(self, base: nn.Module, width: int, out: int) -> None:
        super().__init__()
        self.width = width
        self.base = base
        self.linear_1 = nn.Linear(width, out)
        self.linear_2 = nn.Linear(out, out)
        self.rate = 0.0

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        """sample (batch, width) -> (batch, out); the rate set in `self.rate` is added for every sample alike."""
        from diffusers.models.embeddings import get_timestep_embedding

        rate = torch.tensor([self.rate], device=sample.device)
        waves = get_timestep_embedding(rate, self.width, flip_sin_to_cos=True, downscale_freq_shift=0)
        added = self.linear_2(F.silu(self.linear_1(waves.to(sample.dtype))))
        out: Tensor = self.base(sample, condition) + added
        return out


class ImageTextAttention(nn.Module):
    """Attention processor: text tokens and the frame's own image tokens, each with its softmax, added.

    The context is 77 text tokens and `tokens_per_frame` image tokens for each frame, the same for every frame of the
    batch; frame t reads its own. With `learn_scale` the image part is weighted by tanh(alpha) + 1 (256 model).
    """

    def __init__(self, context: int, inner: int, tokens_per_frame: int, learn_scale: bool) -> None:
        super().__init__()
        self.tokens_per_frame = tokens_per_frame
        self.to_k_ip = nn.Linear(context, inner, bias=False)
        self.to_v_ip = nn.Linear(context, inner, bias=False)
        self.alpha = nn.Parameter(torch.zeros(())) if learn_scale else None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """hidden_states (batch x frames, pixels, width), encoder_hidden_states (batch x frames, tokens, context)."""
        assert encoder_hidden_states is not None and attention_mask is None
        text, image = encoder_hidden_states[:, :TEXT_TOKENS], encoder_hidden_states[:, TEXT_TOKENS:]
        frames = image.shape[1] // self.tokens_per_frame
        at = torch.arange(len(image), device=image.device)
        image = image.view(len(image), frames, self.tokens_per_frame, -1)[at, at % frames]

        def heads(x: Tensor) -> Tensor:
            return x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2)

        query = heads(attn.to_q(hidden_states))
        out = F.scaled_dot_product_attention(query, heads(attn.to_k(text)), heads(attn.to_v(text)))
        seen = F.scaled_dot_product_attention(query, heads(self.to_k_ip(image)), heads(self.to_v_ip(image)))
        if self.alpha is not None:
            seen = seen * (torch.tanh(self.alpha) + 1)
        joined = (out + seen).transpose(1, 2).flatten(2)
        result: Tensor = attn.to_out[0](joined)
        return result


def build_unet(layout: Layout, learn_scale: bool) -> UNet3DConditionModel:
    """The network on the current default device, without weights."""
    from diffusers import UNet3DConditionModel

    unet = UNet3DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=layout.blocks,
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        up_block_types=("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
        cross_attention_dim=layout.context,
        attention_head_dim=layout.head_width,
        norm_num_groups=32,
    )
    width = layout.blocks[0]
    unet.time_embedding = RateTimeEmbedding(unet.time_embedding, width, 4 * width)
    for attention in spatial_cross_attentions(unet).values():
        inner = attention.to_q.out_features
        attention.set_processor(ImageTextAttention(layout.context, inner, layout.tokens_per_frame, learn_scale))
    return unet


def spatial_cross_attentions(unet: nn.Module) -> dict[str, Any]:
    """Path to module of each cross-attention over pixels; the temporal ones attend to themselves."""
    return {
        name: module
        for name, module in unet.named_modules()
        if name.endswith(".attn2") and "temp_attentions" not in name and "transformer_in" not in name
    }
