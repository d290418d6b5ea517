"""DynamiCrafter's sampler: finite where diffusers is not, and equal to the formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmbench.baselines.dynamicrafter.sampler import (
    alphas_bar,
    ddim_step,
    guide,
    make_schedule,
    rescale_table,
    timesteps,
)


def sample(steps: int, zero_snr: bool, base_scale: float | None) -> torch.Tensor:
    """A whole run with a linear toy network."""
    schedule = make_schedule(steps, zero_snr=zero_snr, base_scale=base_scale)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, 4, 2, 3, 3), generator=generator)
    for index in range(steps):
        noise = torch.randn(x.shape, generator=generator)
        x = ddim_step(x, 0.3 * x - 0.1, noise, schedule, index, "v" if zero_snr else "epsilon")
    return x


@pytest.mark.parametrize("steps", [10, 25, 50])
@pytest.mark.parametrize(("zero_snr", "base_scale"), [(True, 0.3), (True, 0.7), (False, None)])
def test_the_sample_stays_finite(steps: int, zero_snr: bool, base_scale: float | None) -> None:
    found = sample(steps, zero_snr, base_scale)
    assert torch.isfinite(found).all()
    assert found.abs().max() < 100


def test_the_direction_would_be_imaginary_without_the_clamp() -> None:
    """At the first step of zero terminal SNR, 1 - alpha - sigma^2 is zero up to rounding, on either side of it."""
    signs = set()
    for steps in (10, 25, 50):
        schedule = make_schedule(steps, zero_snr=True, base_scale=0.3)
        rest = 1 - schedule.alpha_next[0] - schedule.sigma[0] ** 2
        assert abs(rest) < 1e-12
        signs.add(rest < 0)
        assert schedule.alpha[0] == 0
    x = torch.ones(1, 2)
    schedule = make_schedule(25, zero_snr=True, base_scale=0.3)
    assert torch.isfinite(ddim_step(x, x, x, schedule, 0, "v")).all()


@pytest.mark.parametrize("index", [0, 1, 20, 48, 49])
def test_a_step_is_the_published_formula(index: int) -> None:
    table = alphas_bar(zero_snr=True)
    scale = rescale_table(0.3)
    at = timesteps(50, trailing=True)[::-1]
    t = at[index]
    a = table[t]
    after = table[at[index + 1]] if index < 49 else table[0]
    ratio = scale[at[index + 1]] / scale[t] if index < 49 else 1.0
    sigma = math.sqrt((1 - after) / (1 - a) * (1 - a / after))
    generator = torch.Generator().manual_seed(index)
    x, v, z = (torch.randn((2, 3), generator=generator, dtype=torch.float64) for _ in range(3))
    clean = (math.sqrt(a) * x - math.sqrt(1 - a) * v) * ratio
    epsilon = math.sqrt(a) * v + math.sqrt(1 - a) * x
    wanted = math.sqrt(after) * clean + math.sqrt(max(0.0, 1 - after - sigma**2)) * epsilon + sigma * z
    found = ddim_step(x, v, z, make_schedule(50, zero_snr=True, base_scale=0.3), index, "v")
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)


def test_timesteps_of_both_spacings() -> None:
    assert timesteps(50, trailing=True)[:2] == [19, 39]
    assert timesteps(50, trailing=True)[-1] == 999
    assert timesteps(50, trailing=False)[:2] == [1, 21]
    assert timesteps(50, trailing=False)[-1] == 981
    for steps in (1, 3, 7, 25, 1000):
        found = timesteps(steps, trailing=True)
        assert len(found) == len(set(found)) == steps
        assert all(0 <= step < 1000 for step in found)


def test_zero_terminal_snr_keeps_the_first_alpha() -> None:
    plain, zero = alphas_bar(False), alphas_bar(True)
    assert zero[-1] == 0
    assert math.isclose(plain[0], zero[0])
    assert np.all(np.diff(zero) < 0)


def test_the_rescale_falls_for_400_steps_and_stays() -> None:
    scale = rescale_table(0.3)
    assert scale[0] == 1
    assert np.allclose(scale[399:1400], 0.3)
    assert np.all(rescale_table(None) == 1)


def test_guidance_is_a_straight_line_then_mixed_at_the_conditional_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    u, c = torch.randn((2, 3, 4), generator=generator), torch.randn((2, 3, 4), generator=generator)
    line = u + 7.5 * (c - u)
    assert torch.allclose(guide(u, c, 7.5, 0.0), line, atol=1e-6)
    full = guide(u, c, 7.5, 1.0)
    assert torch.allclose(full.std(dim=(1, 2)), c.std(dim=(1, 2)), atol=1e-5)
    assert torch.allclose(guide(u, c, 7.5, 0.7), 0.7 * full + 0.3 * line, atol=1e-5)
    assert torch.allclose(guide(u, u, 7.5, 0.7), u, atol=1e-6)


def test_diffusers_own_scheduler_gives_nan_here() -> None:
    """Why the sampler is ours: delete it when this fails."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(25)
    x = torch.randn((1, 4, 2, 2), generator=torch.Generator().manual_seed(0))
    after = scheduler.step(x, scheduler.timesteps[0], x, eta=1.0, generator=torch.Generator().manual_seed(0))
    assert not torch.isfinite(after.prev_sample).all()
