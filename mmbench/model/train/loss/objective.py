"""The denoising objective in float32: noising, the velocity, the clean estimate, and the loss of each sample.

In bf16 the schedule itself is wrong: abar rounds to 1 at the first steps, and 1 - abar is off by up to 7 %
below t = 50. So everything here is float32, and only the transformer's input is cast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmbench.errors import RequestError

MIN_FACE_CELLS = 4
"""Below this many latent cells of face a sample's loss is taken over the whole picture."""


class NoiseSchedule(nn.Module):
    """abar of every timestep, float32 [T], and what follows from it; t is int64 [B], tensors [B, T', C, h, w]."""

    abar: Tensor

    def __init__(self, abar: Tensor) -> None:
        super().__init__()
        self.register_buffer("abar", abar.detach().float().clone(), persistent=False)

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseSchedule:
        """The schedule of a diffusers scheduler. RequestError unless its model predicts the velocity."""
        if scheduler.config.prediction_type != "v_prediction":
            raise RequestError(
                f"The base predicts {scheduler.config.prediction_type!r}; this training needs 'v_prediction'.",
                "Use a CogVideoX base.",
            )
        return cls(scheduler.alphas_cumprod)

    @property
    def num_timesteps(self) -> int:
        """T: timesteps are 0 (nearly clean) to T - 1 (noise)."""
        return len(self.abar)

    def factors(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t), [B, 1, 1, 1, 1] each."""
        abar = self.abar[t][:, None, None, None, None]
        return abar.sqrt(), (1 - abar).sqrt()

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = sqrt(abar) x0 + sqrt(1 - abar) noise, float32."""
        signal, spread = self.factors(t)
        return signal * x0.float() + spread * noise.float()

    def velocity(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """v = sqrt(abar) noise - sqrt(1 - abar) x0, float32: what the model predicts."""
        signal, spread = self.factors(t)
        return signal * noise.float() - spread * x0.float()

    def clean(self, v: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """x0 = sqrt(abar) x_t - sqrt(1 - abar) v, float32 (diffusers calls this function `get_velocity`)."""
        signal, spread = self.factors(t)
        return signal * x_t.float() - spread * v.float()

    def weight(self, t: Tensor) -> Tensor:
        """1 / (1 - abar_t), [B]: times the squared error of x0 it is the squared error of v."""
        return 1 / (1 - self.abar[t])


def denoising_loss(v: Tensor, target: Tensor, mask: Tensor, face_only: Tensor) -> Tensor:
    """Mean squared error of the velocity of each sample, float32 [B].

    v, target [B, T', C, h, w]. mask bool [B, T', h, w]: cells of face. face_only bool [B]: samples whose mean is
    taken over these cells only, so that a small face weighs as much as a large one; with fewer than
    `MIN_FACE_CELLS` of them it is the whole picture's. Equal to the mean of w(t) |x0_pred - x0|^2.
    """
    error = (v.float() - target.float()).square().mean(dim=2)
    cells = mask.flatten(1).sum(dim=1)
    masked = (face_only & (cells >= MIN_FACE_CELLS))[:, None, None, None]
    weight = torch.where(masked, mask, torch.ones_like(mask)).float()
    total: Tensor = (error * weight).flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1)
    return total
