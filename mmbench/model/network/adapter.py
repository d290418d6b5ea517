"""What Magic Mirror adds to an adapted DiT layer: CAN, phi_face and the decoupled face keys and values.

Widths and initialisation: `README.md`. All three start as no-ops: the last Linears of CAN and phi_face and
W_v2 are zero, so training starts from the base model (but for the keys that face rows add to the softmax).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_COMPUTE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def cast_for(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows in the type that a weight computes in; as they are where that type is storage only (8 bits).

    The base and the frozen towers are bfloat16 in training and what is trained is float32, so types are
    cast where a module begins and ends.
    """
    return rows.to(weight.dtype) if weight.dtype in _COMPUTE else rows


class ConditionedAdaptiveNorm(nn.Module):
    """CAN: identity, time and the base's own video shift give a residual on the 12 base factors (v2 Fig. 11).

    u = [p_id ; SiLU(temb) ; mu1_vid], then Linear, SiLU, Linear (zero). The first Linear splits exactly into
    `time_part` + `identity_part`, so that the former can be tabulated per schedule.
    """

    def __init__(self, id_dim: int, time_dim: int, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.id_dim = id_dim
        self.linear_in = nn.Linear(id_dim + time_dim + dim, hidden_dim)
        self.linear_out = nn.Linear(hidden_dim, 12 * dim)

    def reset_parameters(self) -> None:
        self.linear_in.reset_parameters()
        nn.init.zeros_(self.linear_out.weight)
        nn.init.zeros_(self.linear_out.bias)

    def forward(self, p_id: Tensor, silu_temb: Tensor, shift: Tensor) -> Tensor:
        """p_id [B, id_dim], silu_temb [B, time_dim], shift mu1_vid [B, dim] -> residuals [B, 12, dim]."""
        rows = [cast_for(part, self.linear_in.weight) for part in (p_id, silu_temb, shift)]
        return self.head(self.linear_in(torch.cat(rows, dim=-1)))

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden rows before the SiLU [..., hidden_dim] -> residuals [..., 12, dim]."""
        out: Tensor = self.linear_out(F.silu(hidden))
        return out.reshape(*out.shape[:-1], 12, -1)

    def time_part(self, silu_temb: Tensor, shift: Tensor) -> Tensor:
        """The first Linear's share of time alone, bias included: [T, time_dim], [T, dim] -> [T, hidden]."""
        rows = cast_for(torch.cat([silu_temb, shift], dim=-1), self.linear_in.weight)
        return F.linear(rows, self.linear_in.weight[:, self.id_dim :], self.linear_in.bias)

    def identity_part(self, p_id: Tensor) -> Tensor:
        """What the first Linear makes of the identity alone: [B, id_dim] -> [B, hidden]."""
        return F.linear(cast_for(p_id, self.linear_in.weight), self.linear_in.weight[:, : self.id_dim])


class FaceModulation(nn.Module):
    """phi_face: shift, scale, gate of the face rows, for attention and for the FFN, from time alone."""

    def __init__(self, time_dim: int, dim: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(time_dim, time_dim)
        self.linear_out = nn.Linear(time_dim, 6 * dim)

    def reset_parameters(self) -> None:
        self.linear_in.reset_parameters()
        nn.init.zeros_(self.linear_out.weight)
        nn.init.zeros_(self.linear_out.bias)

    def forward(self, silu_temb: Tensor) -> Tensor:
        """SiLU(temb) [B, time_dim] -> m_face [B, 6, dim]."""
        out: Tensor = self.linear_out(F.silu(self.linear_in(cast_for(silu_temb, self.linear_in.weight))))
        return out.reshape(*out.shape[:-1], 6, -1)


class FaceKeyValue(nn.Module):
    """K2 and V2 of the decoupled cross-attention, from the projected face tokens; the queries are the layer's.

    Starts as a copy of the layer's key projection and key norm; V2 = 0, so the added attention is zero.
    """

    def __init__(self, dim: int, heads: int, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.heads = heads
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.norm_k = nn.LayerNorm(dim // heads, eps=norm_eps)

    def reset_parameters(self, base_key: Tensor, base_norm: nn.LayerNorm | None) -> None:
        """Copy W_k [dim, dim] and the key norm of the layer; zero W_v2."""
        with torch.no_grad():
            self.to_k.weight.copy_(base_key)
            self.norm_k.reset_parameters()
            if base_norm is not None:
                self.norm_k.weight.copy_(base_norm.weight)
                self.norm_k.bias.copy_(base_norm.bias)
        nn.init.zeros_(self.to_v.weight)

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor]:
        """Face rows [B, N_f, dim] (h_face0) -> K2, V2, each [B, N_f, heads, head_dim]."""
        face = cast_for(face, self.to_k.weight)
        key = self.norm_k(self.to_k(face).unflatten(-1, (self.heads, -1)))
        return key, self.to_v(face).unflatten(-1, (self.heads, -1))


class FaceProjection(nn.Module):
    """W_f and a LayerNorm: face tokens into the DiT's width (the paper's modality-aligning projection)."""

    def __init__(self, face_dim: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(face_dim, dim)
        self.norm = nn.LayerNorm(dim)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, tokens: Tensor) -> Tensor:
        """x_face [B, N_f, face_dim] -> h_face0 [B, N_f, dim]."""
        out: Tensor = self.norm(self.linear(cast_for(tokens, self.linear.weight)))
        return out


class LayerAdapter(nn.Module):
    """The additions of one adapted layer, called one by one; a part that a variant switches off is None."""

    def __init__(
        self, can: ConditionedAdaptiveNorm | None, phi_face: FaceModulation | None, kv: FaceKeyValue | None
    ) -> None:
        super().__init__()
        self.can = can
        self.phi_face = phi_face
        self.kv = kv
