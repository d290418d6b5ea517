"""SkyReels-V3: one forward a step without guidance, four frames of pictures always, guidance by its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.registry import create
from mmbench.baselines.wan.loop import encode_pictures, on_white
from mmbench.errors import MissingWeights, RequestError

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]
SIZE, FRAMES = (32, 48), 3


class Watched:
    """What the transformer was given and answered, and what the scheduler was told, in order."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from diffusers import UniPCMultistepScheduler

        self.forwards: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.velocities: list[torch.Tensor] = []
        real = UniPCMultistepScheduler.step

        def step(scheduler: Any, velocity: torch.Tensor, *rest: Any, **more: Any) -> Any:
            self.velocities.append(velocity.clone())
            return real(scheduler, velocity, *rest, **more)

        def watch(module: Any, given: tuple[torch.Tensor, ...], out: tuple[torch.Tensor, ...]) -> None:
            self.forwards.append((given[0].clone(), given[2].clone(), out[0].clone()))

        monkeypatch.setattr(UniPCMultistepScheduler, "step", step)
        self.handle = model.pipe.transformer.register_forward_hook(watch)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_without_guidance_a_step_is_one_forward(
    loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    model = loaded("skyreels_v3", "tiny")
    seen = Watched(model, monkeypatch)
    pictures = tuple(request_for(reference=number).references[0] for number in range(count))
    video = model.generate(replace(request_for(), references=pictures))
    seen.handle.remove()
    assert video.info.settings["references_used"] == count
    assert len(seen.forwards) == len(seen.velocities) == 2
    for (latents, _, answer), velocity in zip(seen.forwards, seen.velocities, strict=True):
        assert latents.shape == (1, 16, FRAMES + 4, 4, 6)
        beside = latents[:, :, FRAMES:]
        assert all(beside[:, :, place].any() == (place < count) for place in range(4))
        torch.testing.assert_close(velocity, answer[:, :, :FRAMES].float())


def test_with_guidance_it_is_the_formula(loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("skyreels_v3", "tiny")
    seen = Watched(model, monkeypatch)
    model.generate(replace(request_for(), guidance=7.5, options={"picture_guidance": 5.0}))
    seen.handle.remove()
    assert len(seen.forwards) == 3 * len(seen.velocities) == 6
    for number, velocity in enumerate(seen.velocities):
        neither, alone, both = seen.forwards[3 * number : 3 * number + 3]
        assert not neither[0][:, :, FRAMES:].any()
        assert torch.equal(alone[0], both[0])
        assert torch.equal(neither[1], alone[1])
        n, p, t = (out[:, :, :FRAMES] for _, _, out in (neither, alone, both))
        torch.testing.assert_close(velocity, n + 5.0 * (p - n) + 7.5 * (t - p))


def test_a_picture_is_drawn_from_its_distribution(loaded: Load, request_for: Make) -> None:
    vae = loaded("skyreels_v3", "tiny").pipe.vae  # type: ignore[attr-defined]
    picture = on_white(request_for().references[0], SIZE)
    mode = encode_pictures(vae, [picture])
    draws = [encode_pictures(vae, [picture], torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], mode)
    assert draws[0].shape == mode.shape == (1, 16, 1, 4, 6)


def test_shapes_are_refused_and_missing_weights_are_told(request_for: Make, tmp_path: Path) -> None:
    model = create("skyreels_v3")
    with pytest.raises(RequestError):
        model.check(request_for(frames=80))
    with pytest.raises(
        MissingWeights, match=r"Skywork/SkyReels-V3-R2V-14B.*GB.*Skywork Community License.*hf download"
    ):
        model.require(tmp_path, "14b")
