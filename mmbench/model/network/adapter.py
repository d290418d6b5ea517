"""What Magic Mirror adds to an adapted DiT layer: CAN, phi_face and the decoupled face keys and values.

Widths and initialisation: `README.md`. All three start as no-ops: the last Linears of CAN and phi_face and
W_v2 are zero, so training starts from the base model (but for the keys that face rows add to the softmax).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        return self.head(self.linear_in(torch.cat([p_id, silu_temb, shift], dim=-1)))

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden rows before the SiLU [..., hidden_dim] -> residuals [..., 12, dim]."""
        out: Tensor = self.linear_out(F.silu(hidden))
        return out.reshape(*out.shape[:-1], 12, -1)

    def time_part(self, silu_temb: Tensor, shift: Tensor) -> Tensor:
        """The first Linear's share of time alone, bias included: [T, time_dim], [T, dim] -> [T, hidden]."""
        rows = torch.cat([silu_temb, shift], dim=-1)
        return F.linear(rows, self.linear_in.weight[:, self.id_dim :], self.linear_in.bias)

    def identity_part(self, p_id: Tensor) -> Tensor:
        """What the first Linear makes of the identity alone: [B, id_dim] -> [B, hidden]."""
        return F.linear(p_id, self.linear_in.weight[:, : self.id_dim])


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
        out: Tensor = self.linear_out(F.silu(self.linear_in(silu_temb)))
        return out.reshape(*out.shape[:-1], 6, -1)


class FaceKeyValue(nn.Module):
    """K2 and V2 of the decoupled cross-attention, from the projected face tokens; the queries are the
    layer's.

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
        """h_face0 [B, N_f, dim] -> K2, V2, each [B, N_f, heads, head_dim]."""
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
        out: Tensor = self.norm(self.linear(tokens))
        return out


class LayerAdapter(nn.Module):
    """The additions of one adapted layer; a part that a variant switches off is None."""

    def __init__(
        self, can: ConditionedAdaptiveNorm | None, phi_face: FaceModulation | None, kv: FaceKeyValue | None
    ) -> None:
        super().__init__()
        self.can = can
        self.phi_face = phi_face
        self.kv = kv

    def forward(
        self, silu_temb: Tensor, shift: Tensor, p_id: Tensor | None, face: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, tuple[Tensor, Tensor] | None]:
        """All parts at once: CAN's residual [B, 12, dim], m_face [B, 6, dim], (K2, V2); None where off."""
        residual = None if self.can is None or p_id is None else self.can(p_id, silu_temb, shift)
        factors = None if self.phi_face is None else self.phi_face(silu_temb)
        key_value = None if self.kv is None or face is None else self.kv(face)
        return residual, factors, key_value
