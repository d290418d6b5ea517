"""The identity loss: its cut is the recogniser's own, gradients reach the latents, and the gates hold."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.face.cut import TEMPLATE, aligned
from mmbench.model.train.loss.identity import IdentityLoss, IdentityLossOptions, align, crop_corner


def turned(angle: float, scale: float, shift: tuple[float, float]) -> Tensor:
    """The template's points turned, scaled and moved."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return torch.from_numpy((TEMPLATE - 56) @ turn.T + 56 + np.array(shift)).float()


def test_the_cut_is_arcface_s() -> None:
    """Against OpenCV, whose bilinear weights have 5 bits: within two grey levels on a smooth picture."""
    y, x = np.mgrid[0:160, 0:200]
    picture = np.stack([127 + 100 * np.sin(x / 17), 127 + 100 * np.cos(y / 23), 127 + 60 * np.sin((x + y) / 31)], -1)
    frame = picture.round().astype(np.uint8)
    points = torch.stack([turned(0.3, 0.9, (30, 10)), turned(-0.5, 1.3, (-20, 5))])
    frames = torch.from_numpy(frame).permute(2, 0, 1)[None].float().repeat(2, 1, 1, 1) / 127.5 - 1
    cuts = ((align(frames, points) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    for cut, five in zip(cuts, points, strict=True):
        reference = aligned(frame, five.numpy()).astype(float)
        inside = reference.sum(-1) > 0  # at the border one of the two may already be black
        assert np.abs(cut - reference)[inside].mean() < 1 and np.quantile(np.abs(cut - reference)[inside], 0.99) < 4
        assert ((cut.sum(-1) < 1) == (reference.sum(-1) == 0)).mean() > 0.98


class Mean(nn.Module):
    """A recogniser that sees the mean colour of the four quarters of the cut."""

    side = 16

    def forward(self, cuts: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(cuts, 2).flatten(1)


def upscaled(latents: Tensor) -> Tensor:
    """A codec that repeats every cell in 8x8 pixels; its first three channels are the colours."""
    return latents[:, :, :3].repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)


def loss_of(**options: float) -> IdentityLoss:
    """With an 8-cell crop."""
    return IdentityLoss(upscaled, Mean(), 8, IdentityLossOptions(crop=8, **options))  # type: ignore[arg-type]


def test_a_perfect_estimate_loses_nothing_and_gradients_stay_at_the_face() -> None:
    draw = torch.Generator().manual_seed(0)
    x0 = torch.rand(2, 1, 4, 16, 16, generator=draw).requires_grad_()
    points = torch.stack([turned(0, 0.4, (30, 20)), turned(0.2, 0.4, (-20, 40))])
    loss = loss_of()
    target = loss.embed(x0, points).detach()
    abar, t = torch.tensor([0.9, 0.6]), torch.tensor([100, 300])
    own, cosine = loss(x0, abar, t, points, target, torch.tensor([True, True]))
    torch.testing.assert_close(own, torch.zeros(2), rtol=0, atol=1e-6)
    other, cosine = loss(x0, abar, t, points, -target, torch.tensor([True, True]))
    torch.testing.assert_close(other, 0.1 * abar * 2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cosine, -torch.ones(2), rtol=1e-5, atol=1e-6)
    swapped, _ = loss(x0, abar, t, points, target.flip(0), torch.tensor([True, True]))
    swapped.sum().backward()
    assert x0.grad is not None
    for index in range(2):
        top, left = crop_corner(points[index], 8, 8, (16, 16))
        inside = x0.grad[index, :, :, top : top + 8, left : left + 8]
        assert inside.abs().sum() > 0
        assert inside.count_nonzero() == x0.grad[index].count_nonzero()


def test_it_applies_at_low_noise_to_kept_identities_with_a_face_only() -> None:
    x0 = torch.rand(5, 1, 4, 16, 16)
    points = turned(0, 0.4, (10, 10)).repeat(5, 1, 1)
    points[3, 2] = torch.nan
    t, keep = torch.tensor([0, 336, 337, 10, 10]), torch.tensor([True, True, True, True, False])
    losses, cosines = loss_of()(x0, torch.ones(5), t, points, torch.randn(5, 12), keep)
    assert (losses != 0).tolist() == [True, True, False, False, False]
    assert cosines.isfinite().tolist() == [True, True, False, False, False]
    none, _ = loss_of()(x0, torch.ones(5), t + 400, points, torch.randn(5, 12), keep)
    assert not none.any()


def test_the_crop_stays_in_the_grid() -> None:
    for shift in ((-200.0, -200.0), (400.0, 0.0), (0.0, 400.0), (20.0, 20.0)):
        top, left = crop_corner(turned(0, 0.4, shift), 24, 8, (60, 90))
        assert 0 <= top <= 36 and 0 <= left <= 66
    assert crop_corner(turned(0, 0.4, (300, 200)), 24, 8, (60, 90)) != (0, 0)
