"""Element-wise work of the fast path in one pass each: three Triton kernels, and the same in plain PyTorch.

`add_norm_modulate`, `norm_rotate_` and `add_face_attention_` take the kernels on a CUDA device where Triton
is installed, else the plain functions; the two agree up to the rounding of intermediate results in low
precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbench.model.fast.segments import Segments


def use_triton(tensor: Tensor) -> bool:
    """Whether the kernels serve this tensor."""
    if not tensor.is_cuda:
        return False
    from importlib.util import find_spec

    return find_spec("triton") is not None


def add_norm_modulate(
    rows: Tensor,
    update: Tensor | None,
    gate: Tensor | None,
    factors: Tensor,
    norm: nn.LayerNorm,
    segments: Segments,
    num_out: int,
) -> Tensor:
    """rows += gate * update (in place), then LN(rows) * (1 + scale) + shift of the first `num_out` rows.

    rows [B, N, D]; update [B, n, D] with n <= N belongs to the first n rows, or None; gate [B, 3, D] and
    factors [B, 3, 2, D] (shift, scale) hold one vector for each of text, video, face. Returns [B, num_out,
    D].
    """
    if use_triton(rows):
        from mmbench.model.fast import triton_kernels

        with torch.cuda.device(rows.device):
            return triton_kernels.add_norm_modulate(rows, update, gate, factors, norm, segments, num_out)
    return plain_add_norm_modulate(rows, update, gate, factors, norm, segments, num_out)


def plain_add_norm_modulate(
    rows: Tensor,
    update: Tensor | None,
    gate: Tensor | None,
    factors: Tensor,
    norm: nn.LayerNorm,
    segments: Segments,
    num_out: int,
) -> Tensor:
    """`add_norm_modulate` in plain PyTorch, in the order of operations of the direct path."""
    spans = segments.spans()
    if update is not None and gate is not None:
        for index, span in enumerate(spans):
            part = update[:, span]
            if part.shape[1]:
                rows[:, span] += gate[:, index, None] * part
    out = torch.empty_like(rows[:, :num_out])
    for index, span in enumerate(spans):
        part = rows[:, :num_out][:, span]
        if part.shape[1]:
            shift, scale = factors[:, index, 0, None], factors[:, index, 1, None]
            out[:, span] = norm(part) * (1 + scale) + shift
    return out


def norm_rotate_(
    heads: Tensor, norm: nn.LayerNorm | None, rotary: tuple[Tensor, Tensor] | None, segments: Segments
) -> Tensor:
    """Per-head LayerNorm of every row and rotation of the video rows of Q or K, in place where possible.

    heads [B, n, H, head_dim]; rotary cos and sin float32 [N_v, head_dim], pairs interleaved as in CogVideoX.
    """
    if use_triton(heads) and norm is not None and rotary is not None and heads.is_contiguous():
        from mmbench.model.fast import triton_kernels

        with torch.cuda.device(heads.device):
            return triton_kernels.norm_rotate_(heads, norm, rotary, segments)
    return plain_norm_rotate(heads, norm, rotary, segments)


def plain_norm_rotate(
    heads: Tensor, norm: nn.LayerNorm | None, rotary: tuple[Tensor, Tensor] | None, segments: Segments
) -> Tensor:
    """`norm_rotate_` in plain PyTorch, in the order of operations of the direct path."""
    heads = heads if norm is None else norm(heads)
    if rotary is not None:
        cos, sin = (x[None, :, None, :].to(heads.device) for x in rotary)
        span = segments.spans()[1]
        video = heads[:, span].float()
        real, imag = video.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([-imag, real], dim=-1).flatten(-2)
        heads[:, span] = (video * cos + turned * sin).to(heads.dtype)
    return heads


def add_face_attention_(out: Tensor, query: Tensor, key: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """out += weight * softmax(Q K2^T / sqrt(head_dim)) V2, in place.

    out, query [B, n, H, head_dim]; key, value [B, N_f, H, head_dim]; weight [B, 1, 1].
    """
    if use_triton(out) and out.is_contiguous() and query.is_contiguous():
        from mmbench.model.fast import triton_kernels

        with torch.cuda.device(out.device):
            return triton_kernels.add_face_attention_(out, query, key, value, weight)
    return plain_add_face_attention(out, query, key, value, weight)


def plain_add_face_attention(out: Tensor, query: Tensor, key: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """`add_face_attention_` through SDPA."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    return out.add_(weight[..., None] * attended)
