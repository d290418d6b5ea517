"""The latent loop of models on Wan: every step is taken, at every number of steps and every shift that is let in."""

from __future__ import annotations

import types
from dataclasses import fields

import pytest
import torch

from mmbench.baselines.options import read_options
from mmbench.baselines.registry import BASELINES, create
from mmbench.baselines.wan.loader import use_unipc
from mmbench.baselines.wan.loop import denoise, wan_levels
from mmbench.errors import RequestError


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shift", [0.1, 1.0, 5.0, 16.0, 100.0])
def test_a_straight_flow_is_followed_to_its_end_in_any_number_of_steps(shift: float, own: bool) -> None:
    """Along one velocity any step is exact; high shifts give many first steps one whole timestep (67 by shift 16)."""
    from diffusers import UniPCMultistepScheduler

    pipe = types.SimpleNamespace(scheduler=UniPCMultistepScheduler())
    use_unipc(pipe, shift)
    draw = torch.Generator().manual_seed(0)
    noise, velocity = (torch.randn(1, 16, 2, 2, 2, generator=draw) for _ in range(2))
    for steps in (1, 2, 3, 10, 50, 66, 67, 100, 200, 400):
        calls: list[float] = []

        def answer(latents: torch.Tensor, timestep: torch.Tensor, seen: list[float] = calls) -> torch.Tensor:
            seen.append(float(timestep))
            return velocity

        found = denoise(pipe.scheduler, noise, steps, answer, wan_levels(steps) if own else None)
        assert len(calls) == steps
        assert calls == sorted(calls, reverse=True)
        wanted = noise - pipe.scheduler.sigmas[0] * velocity
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-3, msg=f"{steps} steps by shift {shift}")


def test_no_model_takes_a_shift_that_makes_no_noise_levels() -> None:
    shifted = 0
    for name in BASELINES:
        kind = create(name).options_type
        if "shift" in {entry.name for entry in fields(kind)}:
            shifted += 1
            for wrong in (0.0, -1.0, 1e-9, 1e9, float("nan"), float("inf")):
                with pytest.raises(RequestError, match="shift"):
                    read_options(kind, {"shift": wrong}, name)
    assert shifted >= 5
