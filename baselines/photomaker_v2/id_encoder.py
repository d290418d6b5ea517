"""PhotoMaker-V2's identity encoder: CLIP tower, tau_id and the fusion module, from the published file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmbench.baselines.loading.checkpoint import count_layers, with_buffers
from mmbench.errors import WeightsError
from mmbench.model.network.fusion import FusionMLP
from mmbench.model.network.perceiver import IdentityPerceiver
from mmbench.model.network.photomaker import split_state, vision_state_for
from mmbench.weights import load_strict

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig


class IdentityEncoder(nn.Module):
    """References to identity tokens, and identity tokens into the class word's text rows.

    `unused` counts the two projections that the file carries and this version does not use (2,097,152 parameters).
    """

    def __init__(
        self, vision: nn.Module, tau_id: IdentityPerceiver, fusion: FusionMLP, unused: int, image_size: int
    ) -> None:
        super().__init__()
        self.vision = vision
        self.tau_id = tau_id
        self.fusion = fusion
        self.unused = unused
        self.image_size = image_size

    def tokens(self, pixels: Tensor, embeddings: Tensor) -> Tensor:
        """pixels (n, 3, 224, 224) CLIP-normalised, embeddings (n, 512) raw -> identity tokens (n, 2, width)."""
        features = self.vision(pixels).last_hidden_state
        out: Tensor = self.tau_id(embeddings, features)
        return out

    def forward(self, pixels: Tensor, embeddings: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """text (1, 77, width) with the rows of `mask` (77,) replaced by their fusion with the identity tokens."""
        tokens = self.tokens(pixels, embeddings).flatten(0, 1)
        fused = text.clone()
        fused[0, mask] = self.fusion(text[0, mask], tokens.to(text.dtype))
        return fused


def build_encoder(state: Mapping[str, Tensor], source: Path) -> IdentityEncoder:
    """The encoder of the file's `id_encoder` dict. Widths and depths are read off the tensors.

    Head widths are not stored: 64 in the tower, 128 in tau_id, as in the published model. Raises WeightsError.
    """
    from transformers import CLIPVisionModel

    depth = count_layers(state, "qformer_perceiver.perceiver_resampler.layers.")
    parts = split_state(state, str(source), depth=depth)
    with torch.device("meta"):
        vision: Any = CLIPVisionModel(vision_config(parts.vision, source))
        query_mid, embedding_dim = parts.tau_id["query_in.weight"].shape
        width = len(parts.tau_id["query_norm.weight"])
        tau_id = IdentityPerceiver(
            embedding_dim=embedding_dim,
            feature_dim=parts.tau_id["perceiver.proj_in.weight"].shape[1],
            width=width,
            depth=depth,
            num_tokens=len(parts.tau_id["query_out.weight"]) // width,
            ff_mult=len(parts.tau_id["perceiver.layers.0.ff_in.weight"]) // width,
            query_mult=query_mid // embedding_dim,
        )
        text_dim = len(parts.fusion["norm_out.weight"])
        fusion = FusionMLP(text_dim, len(parts.fusion["norm1.weight"]) - text_dim, norm=True)
    encoder = IdentityEncoder(
        vision,
        tau_id,
        fusion,
        sum(value.numel() for key, value in state.items() if key.startswith("visual_proj")),
        vision.config.image_size,
    )
    encoder.to_empty(device="cpu")
    for name, buffer in vision.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1])[None])
    load_strict(vision, with_buffers(vision, vision_state_for(vision, parts.vision)), str(source))
    load_strict(tau_id, parts.tau_id, str(source))
    load_strict(fusion, parts.fusion, str(source))
    return encoder.eval()


def vision_config(state: Mapping[str, Tensor], source: Path) -> CLIPVisionConfig:
    """Configuration of the CLIP tower whose tensors are `state`."""
    from transformers import CLIPVisionConfig

    try:
        width = len(state["embeddings.class_embedding"])
        patch = state["embeddings.patch_embedding.weight"].shape[-1]
        positions = len(state["embeddings.position_embedding.weight"])
        mlp = len(state["encoder.layers.0.mlp.fc1.weight"])
    except KeyError as error:
        raise WeightsError(
            f"{source}: its CLIP tower has no {error}.", "Use photomaker-v2.bin of TencentARC/PhotoMaker-V2."
        ) from error
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=count_layers(state, "encoder.layers."),
        num_attention_heads=max(1, width // 64),
        patch_size=patch,
        image_size=patch * round((positions - 1) ** 0.5),
    )
