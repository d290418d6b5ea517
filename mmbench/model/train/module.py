"""`MagicMirrorModel`: transformer and face encoder as one trained module with one forward.

Distributed wrappers see all trained parameters in this one call; nothing in it depends on data, so every
parameter is used in every step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.trained import train_only, trained_parameters
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel


class MagicMirrorModel(nn.Module):
    """Noisy latents, caption and references to v. Wrap this module, not its parts, for distributed training."""

    def __init__(self, transformer: MagicMirrorTransformer3DModel, face_encoder: MagicMirrorFaceEncoder) -> None:
        super().__init__()
        self.transformer = transformer
        self.face_encoder = face_encoder

    def forward(
        self,
        noisy: Tensor,
        text: Tensor,
        word_positions: Tensor,
        timestep: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        id_vectors: Tensor,
        pixels: Tensor | None = None,
        features: Tensor | None = None,
        ref_valid: Tensor | None = None,
        keep_identity: Tensor | None = None,
        keep_text: Tensor | None = None,
    ) -> Tensor:
        """Predict v, float32, shaped like `noisy` [B, T', C, h, w].

        text [B, N_t, text_dim], the empty prompt's where the caption is dropped; word_positions long [B, K], the
        rows of the identity word, -1 for no row; timestep [B]; rotary cos and sin [N_v, head_dim]. References, n
        of each sample: id_vectors [B, n, E] (raw) with pixels [B, n, 3, S, S] (CLIP-normalised) or features
        [B, n, 2, P + 1, C] (last and penultimate hidden states of the vision tower); ref_valid bool [B, n].
        keep_identity bool [B]: False gives null rows, no CAN, no decoupled attention, no fusion. keep_text bool
        [B]: False means that the caption was dropped and nothing is fused into it. None keeps all.
        """
        batch, device = noisy.shape[0], noisy.device
        kept = torch.ones(batch, dtype=torch.bool, device=device)
        keep_identity = kept if keep_identity is None else keep_identity
        keep_text = kept if keep_text is None else keep_text
        dtype = self.transformer.dtype
        pair = None if features is None else (features[:, :, 0], features[:, :, 1])
        face: FaceEmbeds = self.face_encoder(pixels, id_vectors, ref_valid, pair)
        text = text.to(dtype)
        if self.transformer.config.identity_fusion:
            dropped = ~(keep_identity & keep_text)
            text = self.face_encoder.fuse_words(text, word_positions.masked_fill(dropped[:, None], -1), face)
        out: Tensor = self.transformer(
            hidden_states=noisy.to(dtype),
            encoder_hidden_states=text,
            timestep=timestep,
            image_rotary_emb=rotary,
            face=face,
            identity_present=keep_identity,
            return_dict=False,
        )[0]
        return out.float()

    def trained(self) -> dict[str, nn.Parameter]:
        """What is trained, by name: the parameters of the variant."""
        return trained_parameters(self.transformer, self.face_encoder)

    def freeze(self) -> dict[str, nn.Parameter]:
        """Freeze everything that is not trained, hold the trained parameters in float32, and return these."""
        trained = self.trained()
        train_only((self.transformer, self.face_encoder), trained)
        return trained

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks and tau_face's layers in the backward pass instead of keeping what they made."""
        self.transformer.enable_gradient_checkpointing()
        self.face_encoder.enable_gradient_checkpointing()

    def shard_units(self) -> list[nn.Module]:
        """The modules to shard one by one (FSDP2's `fully_shard`) before the whole; each is called as a module.

        The transformer is among them, so that a pipeline may call it and the face encoder between steps.
        """
        units: list[nn.Module] = list(self.transformer.transformer_blocks)
        for adapter in self.transformer.layer_adapters().values():
            units += [part for part in (adapter.can, adapter.phi_face, adapter.kv) if part is not None]
        face = self.face_encoder
        units += [part for part in (face.vision, face.tau_id, face.tau_face, face.fusion) if part is not None]
        return [*units, self.transformer]
