"""VACE: the published recipe, what it is given of the references, its guidance, and files that are absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.counts import WAN_1_3B
from mmbench.baselines.registry import create
from mmbench.baselines.vace.context import context, fitted
from mmbench.errors import MissingWeights, RequestError

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]


def test_the_published_recipe() -> None:
    for variant in ("1.3b", "14b"):
        native = create("vace").native(variant)
        assert (native.size, native.frames, native.fps) == ((480, 832), 81, 16)
        assert (native.steps, native.guidance) == (50, 5.0)
    assert create("vace").options_type().shift == 16.0  # type: ignore[attr-defined]
    assert create("vace").recognisers("1.3b") == ()


@pytest.mark.parametrize(("key", "value"), [("frames", 80), ("size", (480, 840))])
def test_shapes_that_the_pipeline_would_round_are_refused(key: str, value: object, request_for: Make) -> None:
    with pytest.raises(RequestError):
        create("vace").check(request_for(**{key: value}))


@pytest.mark.parametrize("variant", ["1.3b", "14b"])
def test_missing_weights_name_source_size_licence_and_command(variant: str, tmp_path: Path) -> None:
    model = create("vace")
    with pytest.raises(MissingWeights) as found:
        model.load("cpu", "auto", variant, tmp_path)
    for told in ("Wan-AI/Wan2.1-VACE-", "GB", "Apache-2.0", "hf download"):
        assert told in str(found.value)
    with pytest.raises(MissingWeights):
        model.require(tmp_path, variant)


def test_every_reference_and_the_shift_count(loaded: Load, request_for: Make) -> None:
    model = loaded("vace", "tiny")
    request = request_for()
    one = model.generate(replace(request, references=request.references[:1])).frames
    pair = (*request.references[:1], *request_for(reference=7).references[:1])
    video = model.generate(replace(request, references=pair))
    assert video.info.settings["references_used"] == 2
    assert not np.array_equal(video.frames, one)
    other = model.generate(replace(request, references=request.references[:1], options={"shift": 3.0})).frames
    assert not np.array_equal(other, one)


def test_the_control_latents_are_the_pictures_in_order_then_a_video_to_be_made(loaded: Load, request_for: Make) -> None:
    vae = loaded("vace", "tiny").pipe.vae  # type: ignore[attr-defined]
    pictures = [request_for(reference=seed).references[0] for seed in (1, 2, 3)]
    with torch.inference_mode():
        known = context(vae, pictures, (32, 48), 9)
        alone = [context(vae, [picture], (32, 48), 9)[:, :, :1] for picture in pictures]
        without = context(vae, [], (32, 48), 9)
    assert known.shape == (1, 96, 3 + 3, 4, 6)
    for place, of_one in enumerate(alone):
        torch.testing.assert_close(known[:, :, place : place + 1], of_one)
    assert not torch.allclose(alone[0], alone[1])
    torch.testing.assert_close(known[:, :, 3:], without)
    assert known[:, 16:, :3].abs().max() == 0
    assert bool((known[:, 32:, 3:] == 1).all())
    torch.testing.assert_close(known[:, :16, 3:], known[:, 16:32, 3:])


def test_pictures_of_any_shape_are_centred_on_white_as_large_as_they_fit() -> None:
    rng = np.random.default_rng(0)
    shapes = [(1, 1000), (1000, 1), (1, 1), (32, 48), *(tuple(rng.integers(1, 300, 2).tolist()) for _ in range(40))]
    for height, width in shapes:
        seen = fitted(Image.new("RGB", (width, height), "black"), (32, 48))
        assert seen.shape == (3, 32, 48)
        rows, columns = (int((seen[0] < 0).any(dim=axis).sum()) for axis in (1, 0))
        assert abs(rows - min(32, 48 * height / width)) <= 1, (height, width)
        assert abs(columns - min(48, 32 * width / height)) <= 1, (height, width)
        assert float((seen.abs() - 1).abs().max()) < 1e-6
        top = (32 - rows) // 2
        assert bool((seen[:, :top] == 1).all())
        assert bool((seen[:, top + rows :] == 1).all())


def test_guidance_of_one_is_the_prompt_alone(loaded: Load, request_for: Make) -> None:
    model = loaded("vace", "tiny")
    calls: list[int] = []
    handle = model.pipe.transformer.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[attr-defined]
    video = model.generate(replace(request_for(), guidance=1.0, steps=3))
    near = model.generate(replace(request_for(), guidance=1.0 + 1e-6, steps=3))
    handle.remove()
    assert len(calls) == 3 + 6
    assert int(np.abs(video.frames.astype(int) - near.frames.astype(int)).max()) <= 1


def test_guidance_is_the_published_formula(loaded: Load, request_for: Make) -> None:
    """The velocity that the scheduler is given is u + 5 (c - u) of the transformer's two answers."""
    model = loaded("vace", "tiny")
    pipe = model.pipe  # type: ignore[attr-defined]
    answers: list[torch.Tensor] = []
    handle = pipe.transformer.register_forward_hook(lambda module, given, out: answers.append(out[0].clone()))
    given: list[torch.Tensor] = []
    from diffusers import UniPCMultistepScheduler

    real = UniPCMultistepScheduler.step

    def step(self: UniPCMultistepScheduler, velocity: torch.Tensor, *rest: Any, **more: Any) -> Any:
        given.append(velocity.clone())
        return real(self, velocity, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UniPCMultistepScheduler, "step", step)
        model.generate(request_for())
    handle.remove()
    assert len(answers) == 2 * len(given) > 0
    for velocity, conditional, unconditional in zip(given, answers[::2], answers[1::2], strict=True):
        torch.testing.assert_close(velocity, unconditional + 5.0 * (conditional - unconditional))


def test_the_larger_model_has_the_published_size() -> None:
    from diffusers import WanVACETransformer3DModel

    with torch.device("meta"):
        small = WanVACETransformer3DModel(**WAN_1_3B, vace_layers=list(range(0, 30, 2)))
        large = WanVACETransformer3DModel(
            num_attention_heads=40, ffn_dim=13824, num_layers=40, vace_layers=list(range(0, 40, 5))
        )
    count = [sum(weight.numel() for weight in network.parameters()) for network in (small, large)]
    assert [f"{number / 1e9:.1f}" for number in count] == ["2.2", "17.3"]
