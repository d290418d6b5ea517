"""The Triton kernels against plain PyTorch, in Triton's interpreter (no GPU needed), in their own process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from torch import nn
from mmbench.model import kernels as plain
from mmbench.model import triton_kernels as fused
from mmbench.model.kernels import Segments

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
