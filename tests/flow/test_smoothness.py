from __future__ import annotations

import math

import pytest
import torch

from mmbench.flow.smoothness import smoothness_term


def field(u: float, v: float, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.tensor([float(u), float(v)])[:, None, None].expand(2, height, width).contiguous()


def test_constant_translation_is_perfectly_smooth():
    term = smoothness_term(field(3, -2), field(3, -2))
    assert term.ratio == pytest.approx(0, abs=1e-7)
    assert term.acceleration == pytest.approx(0, abs=1e-7)
    assert term.valid == pytest.approx((64 - 3) * (48 - 2) / (64 * 48))


@pytest.mark.parametrize("second", [(-3.0, 2.0), (0.0, 0.0)])
def test_reversal_and_stop_and_go_are_near_one(second):
    assert 0.98 < smoothness_term(field(3, -2), field(*second)).ratio < 1


def test_a_still_clip_is_zero():
    assert smoothness_term(field(0, 0), field(0, 0)).ratio == 0


def test_ratio_is_bounded_and_scale_invariant():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(2, 2, 6, 8, generator=generator) * 2
    small = torch.nn.functional.interpolate(coarse, (48, 64), mode="bilinear", align_corners=True)
    large = torch.nn.functional.interpolate(coarse, (192, 256), mode="bilinear", align_corners=True) * 4
    a, b = smoothness_term(small[0], small[1]), smoothness_term(large[0], large[1])
    assert 0 < a.ratio <= 1
    assert b.ratio == pytest.approx(a.ratio, abs=0.02)
    assert b.acceleration == pytest.approx(a.acceleration, rel=0.05)


def test_motion_that_accelerates_along_its_path_is_read_along_the_path():
    """Linear velocity field u = 0.1 x: on arrival the flow has grown by F's own slope."""
    u = 0.1 * torch.arange(64.0).expand(48, 64)
    flow = torch.stack([u, torch.zeros_like(u)])
    inside = (torch.arange(64.0) * 1.1 <= 63).float()
    change = (0.1 * u[0] * inside).sum()
    length = ((u[0] + u[0] * 1.1) * inside).sum()
    epsilon = 0.05 * 48 / 480
    expected = change / (length + epsilon * inside.sum())
    assert smoothness_term(flow, flow).ratio == pytest.approx(float(expected), rel=1e-4)


def test_everything_leaving_the_picture_is_not_a_number():
    term = smoothness_term(field(100, 0), field(100, 0))
    assert math.isnan(term.ratio) and math.isnan(term.acceleration) and term.valid == 0
