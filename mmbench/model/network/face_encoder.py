"""`MagicMirrorFaceEncoder`: reference pictures to identity and face tokens, and identity into the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from mmbench.errors import WeightsError
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.fusion import FusionMLP, fuse_masked_rows
from mmbench.model.network.perceiver import IdentityPerceiver, Perceiver
from mmbench.model.network.photomaker import read_checkpoint, vision_state_for

FROZEN_PARTS = ("vision.", "tau_id.")
"""Parameter prefixes that Magic Mirror takes over from PhotoMaker-V2 and does not train."""


class MagicMirrorFaceEncoder(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is untyped
    """CLIP dense features, tau_id, tau_face and the fusion MLP; defaults are the full-size model's.

    vision_*, image_size, patch_size: the CLIP tower (ViT-L/14). embedding_dim: width of the face recogniser's
    vector. face_dim: width of x_id and x_face. tau_face_width: inner width of tau_face, face_dim if None.
    tau_id_depth is fixed by PhotoMaker-V2's checkpoint; tau_face_depth 12 is our choice (see README.md).
    """

    _no_split_modules: ClassVar[list[str]] = ["CLIPEncoderLayer", "PerceiverLayer"]

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        vision_dim: int = 1024,
        vision_layers: int = 24,
        vision_heads: int = 16,
        vision_mlp_dim: int = 4096,
        image_size: int = 224,
        patch_size: int = 14,
        embedding_dim: int = 512,
        face_dim: int = 2048,
        head_dim: int = 128,
        tau_id_depth: int = 4,
        num_id_tokens: int = 2,
        tau_face_depth: int = 12,
        tau_face_width: int | None = None,
        num_face_tokens: int = 32,
        text_dim: int = 4096,
        fuse_norm: bool = False,
    ) -> None:
        super().__init__()
        self.vision = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=vision_dim,
                num_hidden_layers=vision_layers,
                num_attention_heads=vision_heads,
                intermediate_size=vision_mlp_dim,
                image_size=image_size,
                patch_size=patch_size,
            )
        )
        self.tau_id = IdentityPerceiver(embedding_dim, vision_dim, face_dim, tau_id_depth, head_dim, num_id_tokens)
        self.tau_face = Perceiver(
            vision_dim,
            tau_face_width or face_dim,
            face_dim,
            tau_face_depth,
            head_dim,
            num_queries=num_face_tokens,
        )
        self.fusion = FusionMLP(text_dim, num_id_tokens * face_dim, fuse_norm)
        self.fusion.reset_parameters()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> Any:
        """diffusers' loader; a missing parameter is a WeightsError instead of a warning."""
        want_info = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
        if info["missing_keys"]:
            raise WeightsError(
                f"{pretrained_model_name_or_path}: {len(info['missing_keys'])} face encoder parameters are "
                f"missing, {sorted(info['missing_keys'])[:3]} among them.",
                "Fetch or save the complete face encoder again.",
            )
        return (model, info) if want_info else model

    def forward(self, pixel_values: Tensor, embeddings: Tensor) -> FaceEmbeds:
        """Encode B identities of n pictures each.

        pixel_values [B, n, 3, size, size] (CLIP-normalised), embeddings [B, n, embedding_dim] (raw, not
        L2-normalised). x_id is the mean over an identity's pictures; tau_face reads the features of all of
        them, so the number of face tokens does not depend on n.
        """
        batch, num = pixel_values.shape[:2]
        seen = self.vision(pixel_values.flatten(0, 1).to(self.dtype), output_hidden_states=True)
        identity = self.tau_id(embeddings.flatten(0, 1).to(self.dtype), seen.last_hidden_state)
        tokens = self.tau_face(seen.hidden_states[-2].unflatten(0, (batch, num)).flatten(1, 2))
        return FaceEmbeds(identity.unflatten(0, (batch, num)).mean(dim=1), tokens)

    def fuse(self, text: Tensor, mask: Tensor, face: FaceEmbeds, scale: float = 1.0) -> Tensor:
        """x_hat_txt: identity into the rows of the identity word.

        text [B, N_t, text_dim], mask bool [B, N_t], B identities; `scale` on the residual. A new tensor.
        """
        return fuse_masked_rows(self.fusion, text, mask, face.identity.flatten(1), scale)

    def load_photomaker(self, path: str | Path) -> None:
        """Take CLIP and tau_id from `photomaker-v2.bin`; its fusion module (SDXL's width) is not used."""
        parts, _ = read_checkpoint(Path(path))
        self.vision.load_state_dict(vision_state_for(self.vision, parts.vision))
        self.tau_id.load_state_dict(parts.tau_id)

    def trained_parameter_names(self) -> list[str]:
        """Names of the parameters that Magic Mirror trains (tau_face and the fusion MLP)."""
        return [name for name, _ in self.named_parameters() if not name.startswith(FROZEN_PARTS)]

    @torch.no_grad()
    def freeze_pretrained(self) -> None:
        """Stop gradients into CLIP and tau_id."""
        for name, parameter in self.named_parameters():
            if name.startswith(FROZEN_PARTS):
                parameter.requires_grad_(False)
