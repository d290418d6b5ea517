"""The fusion MLP: identity tokens enter the text embedding at the identity word (section 3.2, F_fuse)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbench.model.network.adapter import cast_for

WORD_TOKENS = 4
"""Tokens that an identity word may have in training, where their number must be the same for all samples."""


class FusionMLP(nn.Module):
    """Text rows and identity rows to fused text rows: x += MLP1([x ; id]); x += MLP2(x).

    Each MLP is LayerNorm, Linear, GELU, Linear. Magic Mirror uses text_dim 4096 and id_dim 4096 (two identity
    tokens of 2048, flattened), `norm=False`, and a zero last Linear in both, so that it starts as the
    identity function. With `norm=True` (closing LayerNorm) and both widths 2048 it is PhotoMaker-V2's module,
    whose rows are one identity token each; load that with `photomaker.split_state`. With `split_norm=True` text
    and identity are normalised apart before they are joined: in one LayerNorm, T5's small rows count for little
    beside the identity's.
    """

    def __init__(self, text_dim: int = 4096, id_dim: int = 4096, norm: bool = False, split_norm: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(text_dim if split_norm else text_dim + id_dim)
        self.norm_id = nn.LayerNorm(id_dim) if split_norm else None
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
        if self.norm_id is None:
            joined = self.norm1(torch.cat([text, identity], dim=-1))
        else:
            joined = torch.cat([self.norm1(text), self.norm_id(identity)], dim=-1)
        fused = text + self.out1(F.gelu(self.in1(joined)))
        fused = fused + self.out2(F.gelu(self.in2(self.norm2(fused))))
        out: Tensor = fused if self.norm_out is None else self.norm_out(fused)
        return out


def fuse_words(fusion: FusionMLP, text: Tensor, positions: Tensor, identity: Tensor, scale: float = 1.0) -> Tensor:
    """Replace the text rows of the identity words: x_hat = m * x_fuse + (1 - m) * x (paper eq. 4).

    text [B, N, text_dim], positions long [B, K] of the words' rows, -1 for no row, identity [B, id_dim]; only
    these rows are computed. `scale` multiplies the fusion residual x_fuse - x. Returns a new tensor, whose other
    rows are bit-equal copies. No control flow reads data: also where no row is replaced, the MLP runs and every
    weight gets a gradient (of zeros).
    """
    batch, num, dim = text.shape
    valid = (positions >= 0)[..., None]
    rows = text.gather(1, positions.clamp(min=0)[..., None].expand(-1, -1, dim))
    ids = identity[:, None, :].expand(-1, positions.shape[1], -1)
    fused = fusion(cast_for(rows, fusion.in1.weight), cast_for(ids, fusion.in1.weight)).to(text.dtype)
    if scale != 1.0:
        fused = rows + scale * (fused - rows)
    # rows without a word are written to one row more than there are, which is cut off
    spare = torch.cat([text, text.new_zeros(batch, 1, dim)], dim=1)
    target = torch.where(valid, positions[..., None], num).expand(-1, -1, dim)
    return spare.scatter(1, target, fused)[:, :num]


def word_positions(mask: Tensor, count: int | None = None) -> Tensor:
    """Bool mask [B, N] -> positions long [B, K] of its set rows, -1 where a sample has fewer.

    K is `count`, or the most rows that any sample has. ValueError where a sample has more than `count`.
    """
    most = int(mask.sum(dim=1).max())
    width = most if count is None else count
    if most > width:
        raise ValueError(f"an identity word of {most} tokens; there is room for {width}")
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)[:, :width]
    return torch.where(mask.gather(1, order), order, -1)
