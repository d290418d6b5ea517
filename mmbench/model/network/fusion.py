"""The fusion MLP: identity tokens enter the text embedding at the identity word (section 3.2, F_fuse)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusionMLP(nn.Module):
    """Text rows and identity rows to fused text rows: x += MLP1([x ; id]); x += MLP2(x).

    Each MLP is LayerNorm, Linear, GELU, Linear. Magic Mirror uses text_dim 4096 and id_dim 4096 (two identity
    tokens of 2048, flattened), `norm=False`, and a zero last Linear in both, so that it starts as the
    identity function. With `norm=True` (closing LayerNorm) and both widths 2048 it is PhotoMaker-V2's module,
    whose rows are one identity token each; load that with `photomaker.split_state`.
    """

    def __init__(self, text_dim: int = 4096, id_dim: int = 4096, norm: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(text_dim + id_dim)
        self.in1 = nn.Linear(text_dim + id_dim, text_dim)
        self.out1 = nn.Linear(text_dim, text_dim)
        self.norm2 = nn.LayerNorm(text_dim)
        self.in2 = nn.Linear(text_dim, text_dim)
        self.out2 = nn.Linear(text_dim, text_dim)
        self.norm_out = nn.LayerNorm(text_dim) if norm else None

    def reset_parameters(self) -> None:
        """Zero both last Linears: without the closing norm the module then returns its text rows."""
        for linear in (self.out1, self.out2):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, text: Tensor, identity: Tensor) -> Tensor:
        """text [n, text_dim], identity [n, id_dim] -> [n, text_dim]."""
        joined = torch.cat([text, identity], dim=-1)
        fused = text + self.out1(F.gelu(self.in1(self.norm1(joined))))
        fused = fused + self.out2(F.gelu(self.in2(self.norm2(fused))))
        out: Tensor = fused if self.norm_out is None else self.norm_out(fused)
        return out


def fuse_masked_rows(fusion: FusionMLP, text: Tensor, mask: Tensor, identity: Tensor, scale: float = 1.0) -> Tensor:
    """Replace the text rows where the mask is set: x_hat = m * x_fuse + (1 - m) * x (paper eq. 4).

    text [B, N, text_dim], mask bool [B, N], identity [B, id_dim]; only masked rows are computed. `scale`
    multiplies the fusion residual x_fuse - x. Returns a new tensor; unmasked rows are bit-equal copies.
    """
    out = text.clone()
    if scale == 0.0 or not bool(mask.any()):
        return out
    rows = text[mask]
    ids = identity[:, None, :].expand(-1, text.shape[1], -1)[mask]
    fused = fusion(rows, ids.to(rows.dtype))
    out[mask] = fused if scale == 1.0 else rows + scale * (fused - rows)
    return out
