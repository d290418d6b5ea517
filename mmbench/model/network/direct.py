"""The direct path of the transformer with an identity: everything is computed in the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmbench.model.network.checks import check_blocks
from mmbench.model.network.identity import ProjectedIdentity, key_mask
from mmbench.model.network.joint_block import LayerCondition

if TYPE_CHECKING:
    from mmbench.model.network.adapter import LayerAdapter
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel


def identity_forward(
    model: MagicMirrorTransformer3DModel,
    latents: Tensor,
    text: Tensor,
    temb: Tensor,
    rotary: tuple[Tensor, Tensor] | None,
    attention_kwargs: dict[str, Any] | None,
    identity: ProjectedIdentity,
) -> Tensor:
    """latents [B, T', C, h, w], text [B, N_t, text_dim], temb [B, time_dim] -> prediction shaped like `latents`."""
    rows = model.embedding_dropout(model.patch_embed(text, latents))
    num_text = text.shape[1]
    encoder, video = rows[:, :num_text], rows[:, num_text:]
    start = None
    if model.config.face_tokens and identity.face is not None:
        start = identity.face.to(rows.dtype)
    face = start
    num_face = 0 if face is None else face.shape[1]
    mask = key_mask(identity.key_bias, (num_text, num_face, video.shape[1]), face=1)
    check_blocks(model, has_face_rows=num_face > 0, biased=mask is not None)
    adapters = model.layer_adapters()
    for index, block in enumerate(model.transformer_blocks):
        adapter = adapters.get(index)
        joins = face is not None and (adapter is not None or model.config.face_rows == "visible")
        kwargs = dict(attention_kwargs or {})
        if joins and face is not None:
            encoder = torch.cat([encoder, face], dim=1)
            if mask is not None:
                kwargs["attention_mask"] = mask
        condition: Tensor | LayerCondition = temb
        if adapter is not None:
            condition, given = layer_inputs(model, adapter, identity, temb, num_face, rows.dtype)
            kwargs |= given
        if torch.is_grad_enabled() and model.gradient_checkpointing:
            video, encoder = model._gradient_checkpointing_func(block, video, encoder, condition, rotary, kwargs)
        else:
            video, encoder = block(
                hidden_states=video,
                encoder_hidden_states=encoder,
                temb=condition,
                image_rotary_emb=rotary,
                attention_kwargs=kwargs,
            )
        if joins:
            encoder, face = encoder[:, :num_text], encoder[:, num_text:]
            if model.config.face_rows == "reinject":
                face = start
    video = model.norm_out(model.norm_final(video), temb=temb)
    return model.unpatchify(model.proj_out(video), latents.shape)


def layer_inputs(
    model: MagicMirrorTransformer3DModel,
    adapter: LayerAdapter,
    identity: ProjectedIdentity,
    temb: Tensor,
    num_face: int,
    dtype: torch.dtype,
) -> tuple[LayerCondition, dict[str, Any]]:
    """What one adapted layer gets: its norms' condition, and the decoupled attention's inputs as tensors.

    K2, V2 and m_face do not depend on what happens in the block, so they are made before it and each is
    handed over once.
    """
    factors = None
    if adapter.phi_face is not None:
        factors = adapter.phi_face(torch.nn.functional.silu(temb)).to(dtype)
    condition = LayerCondition(temb, adapter.can, identity.p_id, identity.weight, factors, num_face)
    given: dict[str, Any] = {}
    if adapter.kv is not None and identity.face is not None:
        given["face_weight"] = identity.weight
        if model.config.ca_source == "current":
            given |= {"face_kv": adapter.kv, "num_face_rows": num_face}
        else:
            key, value = adapter.kv(identity.face)
            given["face_key_value"] = (key.to(dtype), value.to(dtype))
    return condition, given
