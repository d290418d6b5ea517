"""DynamiCrafter's DDIM: zero terminal SNR, trailing steps, dynamic rescale. Pure functions on float64 tables.

diffusers' DDIMScheduler returns NaN at t = 999 with these settings: the variance left for the direction rounds below
zero. Here it is clamped at zero, which follows upstream (github.com/Doubiiu/DynamiCrafter, `lvdm/models/samplers`)
where upstream is finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmbench.baselines.dynamicrafter.layout import Prediction

Table = NDArray[np.float64]
TRAINED_STEPS = 1000
RESCALE_STEPS = 400


@dataclass(frozen=True)
class Schedule:
    """One entry a sampling step, first step first: timestep, alpha-bar now and after, noise, rescale of x0."""

    timesteps: tuple[int, ...]
    alpha: Table
    alpha_next: Table
    sigma: Table
    rescale: Table


def alphas_bar(zero_snr: bool) -> Table:
    """Cumulative alphas of the square-root-linear schedule 0.00085-0.012 over 1000 steps.

    `zero_snr` rescales them so that the last is 0 and the first unchanged (Lin et al. 2023, algorithm 1).
    """
    betas = np.linspace(0.00085**0.5, 0.012**0.5, TRAINED_STEPS) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    if zero_snr:
        first, last = root[0], root[-1]
        root = (root - last) * first / (first - last)
    return root**2


def timesteps(steps: int, trailing: bool) -> list[int]:
    """Ascending timesteps. 50 trailing: 19, 39, ... 999; 50 uniform: 1, 21, ... 981."""
    if trailing:
        spread = np.round(np.arange(TRAINED_STEPS, 0, -TRAINED_STEPS / steps))[:steps]
        return sorted(int(step) - 1 for step in spread)
    return [int(step) + 1 for step in np.arange(0, TRAINED_STEPS, TRAINED_STEPS // steps)[:steps]]


def rescale_table(base_scale: float | None) -> Table:
    """Scale of x0 by timestep: linear from 1 to `base_scale` over the first 400, constant after; 1 for None."""
    if base_scale is None:
        return np.ones(TRAINED_STEPS)
    return np.concatenate([np.linspace(1.0, base_scale, RESCALE_STEPS), np.full(TRAINED_STEPS, base_scale)])


def make_schedule(steps: int, *, zero_snr: bool, base_scale: float | None, eta: float = 1.0) -> Schedule:
    """The schedule of a variant; trailing steps go with zero terminal SNR. The last step ends at the first alpha."""
    table, scale = alphas_bar(zero_snr), rescale_table(base_scale)
    at = timesteps(steps, trailing=zero_snr)
    alpha = table[at]
    alpha_next = np.concatenate([table[:1], alpha[:-1]])
    after = np.concatenate([scale[at[:1]], scale[at[:-1]]])
    sigma = eta * np.sqrt((1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next))
    order = slice(None, None, -1)
    return Schedule(tuple(reversed(at)), alpha[order], alpha_next[order], sigma[order], (after / scale[at])[order])


def ddim_step(
    x: Tensor, output: Tensor, noise: Tensor, schedule: Schedule, index: int, prediction: Prediction
) -> Tensor:
    """One step of DDIM (Song et al. 2021, eq. 12): the sample after step `index`; all tensors of one shape."""
    alpha, alpha_next = float(schedule.alpha[index]), float(schedule.alpha_next[index])
    sigma = float(schedule.sigma[index])
    if prediction == "v":
        clean = alpha**0.5 * x - (1 - alpha) ** 0.5 * output
        epsilon = alpha**0.5 * output + (1 - alpha) ** 0.5 * x
    else:
        epsilon = output
        clean = (x - (1 - alpha) ** 0.5 * epsilon) / alpha**0.5
    clean = clean * float(schedule.rescale[index])
    direction = max(0.0, 1 - alpha_next - sigma**2) ** 0.5
    after: Tensor = alpha_next**0.5 * clean + direction * epsilon + sigma * noise
    return after


def guide(unconditional: Tensor, conditional: Tensor, guidance: float, rescale: float) -> Tensor:
    """Classifier-free guidance, then mixed with itself at the conditional's deviation (Lin et al. 2023, eq. 15-16).

    Deviations are over all axes but the batch.
    """
    guided = unconditional + guidance * (conditional - unconditional)
    if rescale == 0:
        return guided
    axes = list(range(1, guided.ndim))
    ratio = conditional.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return rescale * guided * ratio + (1 - rescale) * guided


def initial_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal float32 noise on the CPU."""
    return torch.randn(shape, generator=generator)
