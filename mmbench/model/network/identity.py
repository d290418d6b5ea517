"""An identity in the DiT's widths: made once, the same for every layer and step of a video."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmbench.model.network.face_embeds import FaceEmbeds

if TYPE_CHECKING:
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel


@dataclass(frozen=True)
class ProjectedIdentity:
    """The identity in the DiT's widths, the same for every layer and step of a video.

    p_id [B, c1] for CAN, face h_face0 [B, N_f, D] for the face rows and K2/V2 (None where a variant has no
    such part), both in the adapter's type; weight [B, 1, 1]: identity_scale, 0 for a sample whose identity
    was dropped; key_bias [B, 1, 1, 1]: what is added to the logits of the face rows' keys, None for nothing.
    """

    p_id: Tensor | None
    face: Tensor | None
    weight: Tensor
    key_bias: Tensor | None = None


def project_identity(
    model: MagicMirrorTransformer3DModel, face: FaceEmbeds, scale: float = 1.0, present: Tensor | None = None
) -> ProjectedIdentity:
    """p_id, h_face0, weights and key biases of a batch; `present` bool [B] is False where identity is dropped.

    A dropped sample gets the learned null rows and weight 0 (no CAN, no decoupled attention). A scale other
    than 1 also adds log(scale) to the logits of the face rows' keys, so that the limit at 0 is the base.
    """
    rows = None if model.face_proj is None else model.face_proj(face.tokens)
    p_id = None if model.id_proj is None else model.project_global(face.identity)
    shape, dtype, device = (face.identity.shape[0], 1, 1), model.dtype, face.identity.device
    weight = torch.full(shape, scale, device=device, dtype=dtype)
    bias = None if scale == 1.0 else torch.full((*shape, 1), math.log(scale), device=device, dtype=dtype)
    if present is not None:
        keep = present[:, None, None]
        weight = weight * keep
        if bias is not None:
            bias = bias * keep[..., None]
        if rows is not None and model.null_face is not None:
            rows = torch.where(keep, rows, model.null_face.to(rows.dtype))
    return ProjectedIdentity(p_id, rows, weight, bias)


def key_mask(bias: Tensor | None, counts: tuple[int, ...], face: int) -> Tensor | None:
    """An additive attention mask [B, 1, 1, N] over segments of `counts` rows: `bias` at segment `face`, else 0."""
    if bias is None or not counts[face]:
        return None
    parts = [
        bias.expand(-1, 1, 1, n) if i == face else bias.new_zeros(bias.shape[0], 1, 1, n) for i, n in enumerate(counts)
    ]
    return torch.cat(parts, dim=-1)
