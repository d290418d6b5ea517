"""The Triton kernels against plain PyTorch, in Triton's interpreter (no GPU needed), in their own process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from torch import nn
from mmbench.model.fast import kernels as plain
from mmbench.model.fast import triton_kernels as fused
from mmbench.model.fast.segments import Segments

torch.manual_seed(0)
worst = 0.0
for batch, text, video, face, heads, width in ((2, 3, 8, 2, 3, 16), (1, 2, 4, 0, 2, 32)):
    dim, total = heads * width, text + video + face
    segments = Segments(text, video, face)
    norm = nn.LayerNorm(dim)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    for given, wanted in ((total, total), (text + video, total), (total, text + video), (0, total)):
        rows, factors = torch.randn(batch, total, dim), torch.randn(batch, 3, 2, dim)
        update = torch.randn(batch, given, dim) if given else None
        gate = torch.randn(batch, 3, dim) if given else None
        one, two = rows.clone(), rows.clone()
        a = plain.plain_add_norm_modulate(one, update, gate, factors, norm, segments, wanted)
        b = fused.add_norm_modulate(two, update, gate, factors, norm, segments, wanted)
        assert a.shape == b.shape == (batch, wanted, dim)
        worst = max(worst, (a - b).abs().max().item(), (one - two).abs().max().item())
    head_norm = nn.LayerNorm(width)
    nn.init.normal_(head_norm.weight), nn.init.normal_(head_norm.bias)
    rotary = (torch.randn(video, width), torch.randn(video, width))
    q = torch.randn(batch, total, heads, width)
    a = plain.plain_norm_rotate(q.clone(), head_norm, rotary, segments)
    b = fused.norm_rotate_(q.clone(), head_norm, rotary, segments)
    worst = max(worst, (a - b).abs().max().item())
    k, v = torch.randn(2, batch, 5, heads, width).unbind(0)
    out, weight = torch.randn_like(q), torch.rand(batch, 1, 1)
    a = plain.plain_add_face_attention(out.clone(), q, k, v, weight)
    b = fused.add_face_attention_(out.clone(), q, k, v, weight)
    worst = max(worst, (a - b).abs().max().item())
print(worst)
assert worst < 1e-5, worst
"""


def test_kernels_equal_plain_pytorch():
    pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA builds")
    env = os.environ | {"TRITON_INTERPRET": "1"}
    with_no_grad = "import torch\ntorch.set_grad_enabled(False)\n" + SCRIPT
    done = subprocess.run([sys.executable, "-c", with_no_grad], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mmbench.model.fast import triton_kernels as k

def build(kernel, pointers, integers, floats, constants, arch):
    kinds = {n: "*bf16" for n in pointers} | {n: "i32" for n in integers} | {n: "fp32" for n in floats}
    kinds |= {n: "*fp32" for n in ("cos_ptr", "sin_ptr") if n in kinds}
    names = kernel.arg_names
    signature = {n: kinds.get(n, "constexpr") for n in names}
    constants = {(names.index(n),): v for n, v in constants.items()}
    made = compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", arch, 32))
    assert len(made.asm["cubin"]) > 1000
    assert made.metadata.shared <= 48 * 1024

for arch in (80, 90):
    build(k._add_norm_modulate_kernel,
          ("rows_ptr", "update_ptr", "gate_ptr", "factor_ptr", "weight_ptr", "bias_ptr", "out_ptr"),
          ("num_rows", "num_update", "num_out", "num_text", "num_text_video", "dim"), ("eps",),
          {"HAS_UPDATE": True, "AFFINE": True, "BLOCK": 4096}, arch)
    build(k._norm_rotate_kernel, ("heads_ptr", "weight_ptr", "bias_ptr", "cos_ptr", "sin_ptr"),
          ("num_rows", "num_heads", "num_text", "num_text_video"), ("eps",),
          {"HEAD_DIM": 64, "HEADS": 64, "AFFINE": True}, arch)
    build(k._add_face_attention_kernel, ("out_ptr", "query_ptr", "key_ptr", "value_ptr", "weight_ptr"),
          ("num_rows", "num_heads", "num_face"), ("softmax_scale",),
          {"HEAD_DIM": 64, "ROWS": 128, "FACE": 32}, arch)
"""


@pytest.mark.slow
def test_kernels_compile_for_ampere_and_hopper_at_full_size():
    """To machine code, without a GPU; running them needs one (`test_fast.py`, marker gpu)."""
    pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA builds")
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
