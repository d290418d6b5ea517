"""The denoising loss against the sum of the paper, written out, and the mask's mean of a hand example."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import RequestError
from mmbench.model.small.nano import COGVIDEOX_5B_SCHEDULE
from mmbench.model.train.loss.drops import DropRates, draw_drops
from mmbench.model.train.loss.objective import NoiseSchedule, denoising_loss


def schedule() -> NoiseSchedule:
    """CogVideoX-5B's."""
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    return NoiseSchedule.from_scheduler(CogVideoXDDIMScheduler(**COGVIDEOX_5B_SCHEDULE))


def test_loss_is_the_weighted_error_of_the_clean_estimate() -> None:
    """w(t) |x0_pred - x0|^2 summed by hand in float64, at low, middle and full noise."""
    noising = schedule()
    draw = torch.Generator().manual_seed(0)
    x0, noise, v = torch.randn(3, 4, 2, 3, 4, 4, generator=draw).unbind(0)
    t = torch.tensor([1, 50, 500, 999])
    x_t, target = noising.add_noise(x0, noise, t), noising.velocity(x0, noise, t)
    abar = noising.abar.double()[t][:, None, None, None, None]
    estimate = abar.sqrt() * x_t.double() - (1 - abar).sqrt() * v.double()
    by_hand = ((estimate - x0.double()).square() / (1 - abar)).flatten(1).mean(dim=1)
    got = denoising_loss(v, target, torch.zeros(4, 2, 4, 4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool))
    # at t = 1 the weight is 500, and float32 keeps 7 digits of what it multiplies
    torch.testing.assert_close(got.double(), by_hand, rtol=2e-4, atol=1e-6)
    torch.testing.assert_close(got, (v - target).square().flatten(1).mean(dim=1), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(noising.clean(target, x_t, t), x0, rtol=1e-4, atol=1e-4)


def test_the_schedule_ends_in_pure_noise_and_is_float32_whatever_the_input() -> None:
    noising = schedule()
    assert noising.abar[-1] == 0 and noising.num_timesteps == 1000
    x0, noise = torch.randn(2, 1, 1, 2, 2, 2).bfloat16()
    assert noising.add_noise(x0, noise, torch.tensor([3])).dtype == torch.float32
    # the gates that the paper's silence leaves to us
    assert noising.abar[336] >= 0.5 > noising.abar[337]


def test_agrees_with_diffusers() -> None:
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    scheduler = CogVideoXDDIMScheduler(**COGVIDEOX_5B_SCHEDULE)
    noising = NoiseSchedule.from_scheduler(scheduler)
    x0, noise = torch.randn(2, 3, 1, 2, 2, 2)
    t = torch.tensor([0, 400, 998])
    x_t = noising.add_noise(x0, noise, t)
    torch.testing.assert_close(x_t, scheduler.add_noise(x0, noise, t), rtol=1e-5, atol=1e-6)
    v = noising.velocity(x0, noise, t)
    torch.testing.assert_close(noising.clean(v, x_t, t), scheduler.get_velocity(v, x_t, t), rtol=1e-5, atol=1e-5)
    scheduler.register_to_config(prediction_type="epsilon")
    with pytest.raises(RequestError, match="epsilon"):
        NoiseSchedule.from_scheduler(scheduler)


def test_face_loss_of_a_hand_example() -> None:
    """Two channels; errors 1 and 3 in the four face cells, 5 elsewhere: the face's mean is (1 + 9) / 2."""
    v = torch.full((3, 1, 2, 4, 4), 5.0)
    v[:, 0, 0, :2, :2], v[:, 0, 1, :2, :2] = 1.0, 3.0
    mask = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    mask[:, 0, :2, :2] = True
    mask[2, 0, 0, 0] = False  # three cells are too few
    loss = denoising_loss(v, torch.zeros_like(v), mask, torch.tensor([True, False, True]))
    whole = (4 * (1 + 9) / 2 + 12 * 25) / 16
    torch.testing.assert_close(loss, torch.tensor([5.0, whole, whole]))


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1, 3, 8]))
def test_a_large_face_weighs_no_more_than_a_small_one(seed: int, scale: int) -> None:
    """The same error in every face cell gives the same loss however many there are."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[0, 0, : max(2, scale), : max(2, scale)] = True
    v = torch.randn(1, 1, 3, 8, 8, generator=draw)
    v[:, :, :, : max(2, scale), : max(2, scale)] = 2.0
    loss = denoising_loss(v, torch.zeros_like(v), mask, torch.tensor([True]))
    torch.testing.assert_close(loss, torch.tensor([4.0]))


def test_drops_exclude_each_other_at_their_rates() -> None:
    draw = torch.Generator().manual_seed(0)
    kept = torch.stack(draw_drops(DropRates(0.1, 0.2, 0.3), draw, 4000), dim=1)
    shares = {
        pair: float((kept == torch.tensor(pair)).all(dim=1).double().mean())
        for pair in ((False, True), (True, False), (False, False))
    }
    # four standard deviations of 4,000 draws are under 0.03
    for pair, rate in zip(shares, (0.1, 0.2, 0.3), strict=True):
        assert abs(shares[pair] - rate) < 0.03
    assert torch.stack(draw_drops(DropRates(0, 0, 0), draw, 50)).all()
    assert not torch.stack(draw_drops(DropRates(0, 0, 1), draw, 50)).any()
