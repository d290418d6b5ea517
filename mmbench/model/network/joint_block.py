"""How an adapted layer runs: a stock CogVideoX block whose two norms and attention know about face rows.

The blocks stay `CogVideoXBlock`: face rows ride on the encoder side, [text | face], and a `LayerCondition`
takes the place of the time embedding. Given a plain tensor instead, norms and attention do exactly what the
stock classes do. So LoRA, quantised layers, hooks and gradient checkpointing keep working.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.normalization import CogVideoXLayerNormZero
from torch import Tensor, nn

from mmbench.model.network.adapter import ConditionedAdaptiveNorm, FaceKeyValue

MASKED_BACKEND = "native"
"""What computes an attention with a mask (identity_scale other than 0 and 1): flash kernels know no masks."""


@dataclass
class LayerCondition:
    """What both norms of one adapted layer need in one pass; handed to the block once, in temb's place.

    temb [B, time_dim]; can with p_id [B, c1] and weight [B, 1, 1]; face_factors m_face [B, 6, D]. `norm1`
    computes CAN's residual [B, 12, D] (it reads the shift that `norm1` makes) and `norm2` takes its half.
    Every field is a constructor argument, because sharded training rebuilds what it hands to a block.
    """

    temb: Tensor
    can: ConditionedAdaptiveNorm | None
    p_id: Tensor | None
    weight: Tensor
    face_factors: Tensor | None
    num_face_rows: int
    residual: Tensor | None = None

    def run_can(self, shift: Tensor) -> Tensor | None:
        """The first half of CAN's weighted residual [B, 6, D]; the second is kept for `take_residual`."""
        if self.can is None or self.p_id is None:
            return None
        residual: Tensor = self.weight * self.can(self.p_id, F.silu(self.temb), shift).to(shift.dtype)
        self.residual = residual[:, 6:]
        return residual[:, :6]

    def take_residual(self) -> Tensor | None:
        """The second half [B, 6, D]; it is let go, so that a recomputed pass starts like the first."""
        residual, self.residual = self.residual, None
        return residual

    def to(self, device: torch.device | str) -> LayerCondition:
        """Itself: hooks that move inputs call this, and every tensor here is made on the right device."""
        return self


class JointLayerNormZero(CogVideoXLayerNormZero):  # type: ignore[misc]  # diffusers is untyped
    """The stock adaptive norm, which also normalises face rows when it is given a `LayerCondition`.

    `position` is 0 for the norm before attention and 1 for the one before the FFN.
    """

    def __init__(self, conditioning_dim: int, dim: int, affine: bool, eps: float, position: int) -> None:
        super().__init__(conditioning_dim, dim, affine, eps, bias=True)
        self.position = position

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor, temb: Tensor | LayerCondition
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Video [B, N_v, D] and [text | face] rows -> both modulated, video gate, encoder-side gate."""
        if not isinstance(temb, LayerCondition):
            out: tuple[Tensor, Tensor, Tensor, Tensor] = super().forward(hidden_states, encoder_hidden_states, temb)
            return out
        factors = self.linear(self.silu(temb.temb)).unflatten(1, (6, -1))
        residual = temb.run_can(factors[:, 0]) if self.position == 0 else temb.take_residual()
        if residual is not None:
            factors = factors + residual
        video, text = factors[:, :3], factors[:, 3:]
        hidden = self._modulate(hidden_states, video)
        if not temb.num_face_rows:
            return hidden, self._modulate(encoder_hidden_states, text), video[:, 2:], text[:, 2:]
        face = text
        if temb.face_factors is not None:
            face = temb.face_factors[:, 3 * self.position : 3 * self.position + 3]
        num_text = encoder_hidden_states.shape[1] - temb.num_face_rows
        encoder = torch.cat(
            [
                self._modulate(encoder_hidden_states[:, :num_text], text),
                self._modulate(encoder_hidden_states[:, num_text:], face),
            ],
            dim=1,
        )
        gate = torch.cat([text[:, 2:].expand(-1, num_text, -1), face[:, 2:].expand(-1, temb.num_face_rows, -1)], dim=1)
        return hidden, encoder, video[:, 2:], gate

    def _modulate(self, rows: Tensor, factors: Tensor) -> Tensor:
        """LN(rows) * (1 + scale) + shift; factors [B, 3, D] in the order shift, scale, gate."""
        out: Tensor = self.norm(rows) * (1 + factors[:, 1])[:, None, :] + factors[:, 0][:, None, :]
        return out


class JointAttnProcessor:
    """CogVideoX attention plus, where it is given K2 and V2, the decoupled face attention.

    out = W_o(SDPA(Q, K, V) + weight * SDPA(Q, K2, V2)), Q after its norm and rotation for both (v1 eq. 7).
    Goes through diffusers' attention dispatch, so `transformer.set_attention_backend` works; fused QKV
    weights are used where they are present.
    """

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        face_key_value: tuple[Tensor, Tensor] | None = None,
        face_weight: Tensor | None = None,
        face_kv: FaceKeyValue | None = None,
        num_face_rows: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """hidden [B, N_v, D], encoder [B, N_t (+ N_f), D] -> the same two, attended.

        attention_mask: broadcast to [B, heads, N, N], added to the logits. The decoupled attention reads
        face_key_value (K2, V2, [B, N_f, heads, head_dim] each), or what face_kv makes of the last
        num_face_rows encoder rows; face_weight [B, 1, 1] is its weight.
        """
        num_encoder = encoder_hidden_states.shape[1]
        rows = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        if attn.fused_projections:
            query, key, value = attn.to_qkv(rows).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(rows), attn.to_k(rows), attn.to_v(rows)
        query, key, value = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (query, key, value))
        query = _normed(attn.norm_q, query)
        key = _normed(attn.norm_k, key)
        if image_rotary_emb is not None:
            query, key = (
                torch.cat([x[:, :, :num_encoder], apply_rotary_emb(x[:, :, num_encoder:], image_rotary_emb)], 2)
                for x in (query, key)
            )
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        out = self._attend(query, key, value, attention_mask)
        if face_kv is not None and num_face_rows:
            made = face_kv(encoder_hidden_states[:, num_encoder - num_face_rows :])
            face_key_value = (made[0].to(query.dtype), made[1].to(query.dtype))
        if face_key_value is not None and face_weight is not None:
            out = out + face_weight[..., None] * self._attend(query, *face_key_value, None)
        out = attn.to_out[1](attn.to_out[0](out.flatten(2)))
        return out[:, num_encoder:], out[:, :num_encoder]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """[B, N, heads, head_dim] each -> [B, N, heads, head_dim]."""
        out: Tensor = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=mask,
            backend=self._attention_backend if mask is None else MASKED_BACKEND,
            parallel_config=self._parallel_config,
        )
        return out


def _normed(norm: nn.Module | None, rows: Tensor) -> Tensor:
    out: Tensor = rows if norm is None else norm(rows)
    return out
