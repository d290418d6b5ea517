"""The Triton kernels behind `mmbench.model.fast.kernels`; imported only where Triton is there."""

from __future__ import annotations

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor, nn

from mmbench.model.fast.segments import Segments


@triton.jit  # type: ignore[untyped-decorator]
def _add_norm_modulate_kernel(  # type: ignore[no-untyped-def]
    rows_ptr,
    update_ptr,
    gate_ptr,
    factor_ptr,
    weight_ptr,
    bias_ptr,
    out_ptr,
    num_rows,
    num_update,
    num_out,
    num_text,
    num_text_video,
    dim,
    eps,
    HAS_UPDATE: tl.constexpr,
    AFFINE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    batch = tl.program_id(1).to(tl.int64)
    segment = tl.where(row < num_text, 0, tl.where(row < num_text_video, 1, 2))
    cols = tl.arange(0, BLOCK)
    inside = cols < dim
    row_ptr = rows_ptr + (batch * num_rows + row) * dim + cols
    stored = tl.load(row_ptr, mask=inside, other=0.0)
    x = stored.to(tl.float32)
    if HAS_UPDATE:  # noqa: SIM102  # a branch of the compiler, the inner one of the kernel
        if row < num_update:
            y = tl.load(update_ptr + (batch * num_update + row) * dim + cols, mask=inside, other=0.0)
            g = tl.load(gate_ptr + (batch * 3 + segment) * dim + cols, mask=inside, other=0.0)
            rounded = (x + g.to(tl.float32) * y.to(tl.float32)).to(stored.dtype)
            tl.store(row_ptr, rounded, mask=inside)
            x = rounded.to(tl.float32)
    if row < num_out:
        mean = tl.sum(x, axis=0) / dim
        centred = tl.where(inside, x - mean, 0.0)
        inverse = tl.rsqrt(tl.sum(centred * centred, axis=0) / dim + eps)
        normed = centred * inverse
        if AFFINE:
            w = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
            b = tl.load(bias_ptr + cols, mask=inside, other=0.0).to(tl.float32)
            normed = normed * w + b
        factor = factor_ptr + (batch * 6 + segment * 2) * dim + cols
        shift = tl.load(factor, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(factor + dim, mask=inside, other=0.0).to(tl.float32)
        result = normed * (1.0 + scale) + shift
        tl.store(out_ptr + (batch * num_out + row) * dim + cols, result.to(stored.dtype), mask=inside)


def add_norm_modulate(
    rows: Tensor,
    update: Tensor | None,
    gate: Tensor | None,
    factors: Tensor,
    norm: nn.LayerNorm,
    segments: Segments,
    num_out: int,
) -> Tensor:
    """See `kernels.add_norm_modulate`."""
    batch, num_rows, dim = rows.shape
    out = rows.new_empty(batch, num_out, dim)
    num_update = 0 if update is None else update.shape[1]
    block = triton.next_power_of_2(dim)
    _add_norm_modulate_kernel[(max(num_out, num_update), batch)](
        rows,
        rows if update is None else update.contiguous(),
        rows if gate is None else gate.contiguous(),
        factors.contiguous(),
        norm.weight,
        norm.bias,
        out,
        num_rows,
        num_update,
        num_out,
        segments.num_text,
        segments.num_text + segments.num_video,
        dim,
        norm.eps,
        HAS_UPDATE=update is not None,
        AFFINE=norm.weight is not None,
        BLOCK=block,
        num_warps=8 if block >= 2048 else 4,
    )
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _norm_rotate_kernel(  # type: ignore[no-untyped-def]
    heads_ptr,
    weight_ptr,
    bias_ptr,
    cos_ptr,
    sin_ptr,
    num_rows,
    num_heads,
    num_text,
    num_text_video,
    eps,
    HEAD_DIM: tl.constexpr,
    HEADS: tl.constexpr,
    AFFINE: tl.constexpr,
):
    row = tl.program_id(0)
    batch = tl.program_id(1).to(tl.int64)
    head = tl.arange(0, HEADS)
    col = tl.arange(0, HEAD_DIM)
    inside = (head < num_heads)[:, None] & (col >= 0)[None, :]
    start = (batch * num_rows + row) * num_heads * HEAD_DIM
    ptr = heads_ptr + start + head[:, None] * HEAD_DIM + col[None, :]
    x = tl.load(ptr, mask=inside, other=0.0).to(tl.float32)
    x -= (tl.sum(x, axis=1) / HEAD_DIM)[:, None]
    x *= tl.rsqrt(tl.sum(x * x, axis=1) / HEAD_DIM + eps)[:, None]
    if AFFINE:
        x = x * tl.load(weight_ptr + col).to(tl.float32)[None, :] + tl.load(bias_ptr + col).to(tl.float32)[None, :]
    if (row >= num_text) & (row < num_text_video):
        angle = (row - num_text) * HEAD_DIM + col
        cos = tl.load(cos_ptr + angle)[None, :]
        sin = tl.load(sin_ptr + angle)[None, :]
        real, imag = tl.split(tl.reshape(x, (HEADS, HEAD_DIM // 2, 2)))
        turned = tl.reshape(tl.join(-imag, real), (HEADS, HEAD_DIM))
        x = x * cos + turned * sin
    tl.store(ptr, x.to(heads_ptr.dtype.element_ty), mask=inside)


def norm_rotate_(heads: Tensor, norm: nn.LayerNorm, rotary: tuple[Tensor, Tensor], segments: Segments) -> Tensor:
    """See `kernels.norm_rotate_`; in place."""
    batch, num_rows, num_heads, head_dim = heads.shape
    cos, sin = (x.to(heads.device, torch.float32).contiguous() for x in rotary)
    _norm_rotate_kernel[(num_rows, batch)](
        heads,
        norm.weight,
        norm.bias,
        cos,
        sin,
        num_rows,
        num_heads,
        segments.num_text,
        segments.num_text + segments.num_video,
        norm.eps,
        HEAD_DIM=head_dim,
        HEADS=triton.next_power_of_2(num_heads),
        AFFINE=norm.weight is not None,
        num_warps=4,
    )
    return heads


@triton.jit  # type: ignore[untyped-decorator]
def _add_face_attention_kernel(  # type: ignore[no-untyped-def]
    out_ptr,
    query_ptr,
    key_ptr,
    value_ptr,
    weight_ptr,
    num_rows,
    num_heads,
    num_face,
    softmax_scale,
    HEAD_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    FACE: tl.constexpr,
):
    head = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    face = tl.arange(0, FACE)
    col = tl.arange(0, HEAD_DIM)
    here = (row < num_rows)[:, None]
    offset = ((batch * num_rows + row[:, None]) * num_heads + head) * HEAD_DIM + col[None, :]
    face_offset = ((batch * num_face + face[:, None]) * num_heads + head) * HEAD_DIM + col[None, :]
    is_face = (face < num_face)[:, None]
    query = tl.load(query_ptr + offset, mask=here, other=0.0)
    key = tl.load(key_ptr + face_offset, mask=is_face, other=0.0)
    value = tl.load(value_ptr + face_offset, mask=is_face, other=0.0)
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * softmax_scale
    scores = tl.where((face < num_face)[None, :], scores, float("-inf"))
    scores = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    scores = scores / tl.sum(scores, axis=1)[:, None]
    attended = tl.dot(scores.to(value.dtype), value, input_precision="ieee")
    weight = tl.load(weight_ptr + batch).to(tl.float32)
    before = tl.load(out_ptr + offset, mask=here, other=0.0)
    tl.store(out_ptr + offset, (before.to(tl.float32) + weight * attended).to(before.dtype), mask=here)


def add_face_attention_(out: Tensor, query: Tensor, key: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """See `kernels.add_face_attention_`; in place."""
    batch, num_rows, num_heads, head_dim = out.shape
    num_face = key.shape[1]
    rows = 128
    _add_face_attention_kernel[(triton.cdiv(num_rows, rows), num_heads, batch)](
        out,
        query,
        key.contiguous(),
        value.contiguous(),
        weight.contiguous(),
        num_rows,
        num_heads,
        num_face,
        head_dim**-0.5,
        HEAD_DIM=head_dim,
        ROWS=rows,
        FACE=max(16, triton.next_power_of_2(num_face)),
        num_warps=4,
    )
    return out
