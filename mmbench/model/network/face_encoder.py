"""`MagicMirrorFaceEncoder`: reference pictures to identity and face tokens, and identity into the text."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from mmbench.errors import WeightsError
from mmbench.model.network.adapter import cast_for
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.fusion import FusionMLP, fuse_words, word_positions
from mmbench.model.network.map_tower import MapTower
from mmbench.model.network.perceiver import IdentityPerceiver, Perceiver
from mmbench.model.network.photomaker import read_checkpoint, vision_state_for
from mmbench.model.network.pixels import CLIP_MEAN, CLIP_STD

FROZEN_PARTS = ("vision.", "tau_id.")
"""Parameter prefixes that Magic Mirror takes over from PhotoMaker-V2 and does not train."""


@dataclass(frozen=True)
class Fusing:
    """What `MagicMirrorFaceEncoder.fuse_words` hands to `forward`: see there."""

    text: Tensor
    positions: Tensor
    identity: Tensor
    scale: float


class MagicMirrorFaceEncoder(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is untyped
    """CLIP dense features, tau_id, tau_face and the fusion MLP; defaults are the full-size model's.

    vision_*, image_size, patch_size: the CLIP tower (ViT-L/14). embedding_dim: width of the face recogniser's
    vector. face_dim: width of x_id and x_face. tau_face_width: inner width of tau_face, face_dim if None.
    tau_id_depth is fixed by PhotoMaker-V2's checkpoint; tau_face_depth 12 is our choice (see README.md).
    fuse_norm: a closing LayerNorm in the fusion MLP; fuse_split_norm: text and identity normalised apart in it.
    identity_fusion, face_tokens: False where a variant has no fused text or no face tokens; the fusion MLP or
    tau_face then does not exist. crop_margin: side of a reference's crop over the larger side of the face box.
    map_widths: of a small recogniser whose dense map takes CLIP's place (vision_dim is its last width; the nano size).
    train_tau_id: True where no pretrained tau_id exists; it is then trained with the rest.
    """

    _no_split_modules: ClassVar[list[str]] = ["CLIPEncoderLayer", "PerceiverLayer"]
    _supports_gradient_checkpointing = True

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
        fuse_split_norm: bool = False,
        identity_fusion: bool = True,
        face_tokens: bool = True,
        crop_margin: float = 1.6,
        map_widths: tuple[int, int, int] | None = None,
        train_tau_id: bool = False,
    ) -> None:
        super().__init__()
        self.vision: Any
        if map_widths is not None:
            first, second, last = map_widths
            self.vision = MapTower((first, second, last), CLIP_MEAN, CLIP_STD)
        else:
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
        self.tau_face = None
        if face_tokens:
            width = tau_face_width or face_dim
            self.tau_face = Perceiver(
                vision_dim, width, face_dim, tau_face_depth, head_dim, num_queries=num_face_tokens
            )
        self.fusion = None
        if identity_fusion:
            self.fusion = FusionMLP(text_dim, num_id_tokens * face_dim, fuse_norm, fuse_split_norm)
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

    def forward(
        self,
        pixel_values: Tensor | None = None,
        embeddings: Tensor | None = None,
        ref_valid: Tensor | None = None,
        features: tuple[Tensor, Tensor] | None = None,
        fusing: Fusing | None = None,
    ) -> Any:
        """Encode B identities of n pictures each: `FaceEmbeds`.

        pixel_values [B, n, 3, size, size] (CLIP-normalised), or `features` of `see`; embeddings [B, n,
        embedding_dim] (raw, not L2-normalised); ref_valid bool [B, n], None for all valid: False pictures change
        nothing. x_id and x_face are the means over an identity's pictures, so neither the number of face tokens
        nor the result depends on how often a picture is given.

        With `fusing` (from `fuse_words`) the fused text instead: everything goes through this method, since
        what brings weights to a device (offloading, sharding) watches it.
        """
        if fusing is not None:
            return self._fuse(fusing)
        if pixel_values is not None and features is None:
            features = self.see(pixel_values)
        elif pixel_values is not None or features is None:
            raise ValueError("pass either pixel_values or features")
        if embeddings is None:
            raise ValueError("pass the embeddings of the references")
        batch, num = embeddings.shape[:2]
        f_last, f_pen = features
        with self._frozen_scope("tau_id."):
            identity = self.tau_id(embeddings.flatten(0, 1), cast_for(f_last.flatten(0, 1), self._tower_weight()))
        identity = mean_over_references(identity.unflatten(0, (batch, num)), ref_valid)
        if self.tau_face is None:
            return FaceEmbeds(identity, identity.new_zeros(batch, 0, identity.shape[-1]))
        tokens = self.tau_face(f_pen.flatten(0, 1))
        return FaceEmbeds(identity, mean_over_references(tokens.unflatten(0, (batch, num)), ref_valid))

    def see(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP's last hidden states and those before them, [B, n, 1 + patches, vision_dim] each.

        pixel_values [B, n, 3, size, size]. They can be kept and passed to `forward` as `features`.
        """
        batch, num = pixel_values.shape[:2]
        if isinstance(self.vision, MapTower):
            with self._frozen_scope("vision."):
                tokens = self.vision(cast_for(pixel_values.flatten(0, 1), self._tower_weight()))
            return tokens.unflatten(0, (batch, num)), tokens.unflatten(0, (batch, num))
        before: list[Tensor] = []

        def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            before.append(args[0] if args else kwargs["hidden_states"])

        # transformers records hidden states by class, and sharding changes the tower's
        layers = next(module for name, module in self.vision.named_modules() if name.endswith("encoder.layers"))
        handle = layers[-1].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with self._frozen_scope("vision."):
                seen = self.vision(cast_for(pixel_values.flatten(0, 1), self._tower_weight()))
        finally:
            handle.remove()
        last, penultimate = (rows.reshape(batch, num, *rows.shape[1:]) for rows in (seen.last_hidden_state, before[0]))
        return last, penultimate

    def _tower_weight(self) -> Tensor:
        weight: Tensor = self.tau_id.query_in.weight
        return weight

    def _frozen_scope(self, part: str) -> Any:
        """No gradient is recorded in a part without trained parameters."""
        trained = any(p.requires_grad for n, p in self.named_parameters() if n.startswith(part))
        return nullcontext() if trained else torch.no_grad()

    def train(self, mode: bool = True) -> MagicMirrorFaceEncoder:
        """Training mode for what is trained; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in (self.vision, self.tau_id):
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()
        return self

    def fuse(self, text: Tensor, mask: Tensor, face: FaceEmbeds, scale: float = 1.0) -> Tensor:
        """x_hat_txt: identity into the rows of the identity word.

        text [B, N_t, text_dim], mask bool [B, N_t], B identities; `scale` on the residual. A new tensor.
        """
        return self.fuse_words(text, word_positions(mask), face, scale)

    def fuse_words(self, text: Tensor, positions: Tensor, face: FaceEmbeds, scale: float = 1.0) -> Tensor:
        """`fuse`, with the rows of the word as positions long [B, K], -1 for none; nothing depends on data."""
        fused: Tensor = self(fusing=Fusing(text, positions, face.identity.flatten(1), scale))
        return fused

    def _fuse(self, given: Fusing) -> Tensor:
        if self.fusion is None:
            raise ValueError("this face encoder has no fusion MLP (identity_fusion=False)")
        return fuse_words(self.fusion, given.text, given.positions, given.identity, given.scale)

    def load_photomaker(self, path: str | Path) -> None:
        """Take CLIP and tau_id from `photomaker-v2.bin`; its fusion module (SDXL's width) is not used."""
        parts, _ = read_checkpoint(Path(path))
        self.vision.load_state_dict(vision_state_for(self.vision, parts.vision))
        self.tau_id.load_state_dict(parts.tau_id)

    def trained_parameter_names(self) -> list[str]:
        """Names of what Magic Mirror trains: tau_face and the fusion MLP, and tau_id with `train_tau_id`."""
        return [name for name, _ in self.named_parameters() if not name.startswith(self.frozen_parts)]

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Prefixes of the parameters that are not trained."""
        return FROZEN_PARTS[:1] if self.config.train_tau_id else FROZEN_PARTS

    @torch.no_grad()
    def freeze_pretrained(self) -> None:
        """Stop gradients into CLIP and, unless it is trained, tau_id."""
        for name, parameter in self.named_parameters():
            if name.startswith(self.frozen_parts):
                parameter.requires_grad_(False)


def mean_over_references(rows: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of [B, n, tokens, dim] over the n references, those alone that `valid` bool [B, n] names."""
    if valid is None:
        return rows.mean(dim=1)
    keep = valid[..., None, None]
    kept = torch.where(keep, rows, torch.zeros((), dtype=rows.dtype, device=rows.device))
    return kept.sum(dim=1) / keep.sum(dim=1).clamp(min=1)
