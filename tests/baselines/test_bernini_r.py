"""Bernini-R: streams on a stock transformer, guidance by its formula, pictures by name, two transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.baselines.bernini_r.model import PREFIX, REPOSITORIES, name_pictures
from mmbench.baselines.bernini_r.streams import BOUNDARY, LATER, answer, fitted, numbers, projected, turn
from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.registry import create
from mmbench.baselines.wan.loop import encode_pictures
from mmbench.baselines.wan.tiny import TEXT_WIDTH, transformer_config
from mmbench.errors import MissingWeights, RequestError

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([96, 624, 848]))
def test_a_picture_is_never_enlarged_and_has_sides_in_sixteens(width: int, height: int, longest: int) -> None:
    found = fitted(Image.new("RGB", (width, height)), longest)
    assert found.width % 16 == found.height % 16 == 0
    assert max(found.size) <= longest
    scale = min(longest / max(width, height), 1)
    for side, was in zip(found.size, (width, height), strict=True):
        assert abs(side - was * scale) <= max(16, longest % 16 + 9)


def test_numbers_stay_in_the_range_of_training() -> None:
    assert numbers(3) == [1, 2, 3]
    assert numbers(5) == [1, 2, 3, 4, 5]
    assert numbers(9) == [1 + place / 2 for place in range(9)]


@given(st.floats(0, 5))
def test_a_number_turns_every_pair_of_a_head(number: float) -> None:
    angles = torch.rand(1, 7, 1, 6, dtype=torch.float64)
    cos, sin = turn(angles.cos().repeat_interleave(2, -1), angles.sin().repeat_interleave(2, -1), number)
    more = number * 10000.0 ** -(torch.arange(6, dtype=torch.float64) / 6)
    torch.testing.assert_close(cos[..., ::2], (angles + more).cos())
    torch.testing.assert_close(sin[..., 1::2], (angles + more).sin())


@pytest.fixture(scope="module")
def transformer() -> Any:
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    return WanTransformer3DModel(**transformer_config()).eval()


def ask(transformer: Any, latents: torch.Tensor, *sources: tuple[float, torch.Tensor]) -> torch.Tensor:
    text = torch.linspace(-1, 1, 5 * TEXT_WIDTH).view(1, 5, TEXT_WIDTH)
    with torch.inference_mode():
        return answer(transformer, latents, sources, torch.tensor(500), text)


def test_without_pictures_it_is_the_stock_forward(transformer: Any) -> None:
    latents = torch.randn(1, 16, 3, 4, 6)
    text = torch.linspace(-1, 1, 5 * TEXT_WIDTH).view(1, 5, TEXT_WIDTH)
    with torch.inference_mode():
        stock = transformer(latents, torch.tensor([500]), text, return_dict=False)[0]
    assert torch.equal(ask(transformer, latents), stock)


def test_pictures_are_told_apart_by_number_not_by_place(transformer: Any) -> None:
    latents, one, other = torch.randn(1, 16, 3, 4, 6), torch.randn(1, 16, 1, 6, 4), torch.randn(1, 16, 1, 2, 8)
    both = ask(transformer, latents, (1, one), (2, other))
    assert both.shape == latents.shape
    torch.testing.assert_close(ask(transformer, latents, (2, other), (1, one)), both)
    assert (ask(transformer, latents, (2, one), (1, other)) - both).abs().max() > 1e-6
    assert (ask(transformer, latents, (1, one)) - both).abs().max() > 1e-6
    assert torch.equal(ask(transformer, latents), ask(transformer, latents)), "a forward leaves nothing behind"


def test_guidance_is_projected_frame_by_frame() -> None:
    torch.manual_seed(1)
    delta, onto = 3 * torch.randn(1, 16, 3, 4, 6), torch.randn(1, 16, 3, 4, 6)
    found = projected(delta, onto, 0.5, 20.0)
    for frame in range(3):
        d, o = delta[:, :, frame].flatten().double(), onto[:, :, frame].flatten().double()
        d = d * min(1.0, 20.0 / float(d.norm()))
        along = (d @ o) / (o @ o) * o
        torch.testing.assert_close(found[:, :, frame].flatten().double(), d - 0.5 * along, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(projected(delta, onto, 1.0, 1e9), delta)


@pytest.mark.parametrize(("variant", "steps"), [("tiny", 2), ("tiny-14b", 4)])
def test_a_step_is_three_forwards_of_the_right_transformer(
    variant: str, steps: int, loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import UniPCMultistepScheduler

    pipe = loaded("bernini_r", variant).pipe  # type: ignore[attr-defined]
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    taken: list[tuple[float, float, torch.Tensor, torch.Tensor]] = []
    real = UniPCMultistepScheduler.step

    def step(scheduler: Any, velocity: torch.Tensor, timestep: Any, sample: torch.Tensor, **more: Any) -> Any:
        sigma = scheduler.sigmas[scheduler.step_index or 0]
        taken.append((float(timestep), float(sigma), velocity.clone(), sample.clone()))
        return real(scheduler, velocity, timestep, sample, **more)

    monkeypatch.setattr(UniPCMultistepScheduler, "step", step)
    networks = [pipe.transformer] + ([pipe.transformer_2] if variant == "tiny-14b" else [])
    handles = [
        network.register_forward_hook(
            lambda module, given, out, place=place: seen.append((place, given[2].clone(), out[0].clone()))
        )
        for place, network in enumerate(networks)
    ]
    loaded("bernini_r", variant).generate(replace(request_for(), steps=steps))
    for handle in handles:
        handle.remove()
    assert len(seen) == 3 * len(taken) == 3 * steps
    used = []
    for number, (timestep, sigma, velocity, sample) in enumerate(taken):
        first, second, third = seen[3 * number : 3 * number + 3]
        place = int(timestep < BOUNDARY and len(networks) == 2)
        assert {first[0], second[0], third[0]} == {place}
        used.append(place)
        assert torch.equal(first[1], second[1])
        assert not torch.equal(second[1], third[1])
        bare, seen_, both = (sample - sigma * out for _, _, out in (first, second, third))
        weight = LATER if place else 1.0
        guided = bare + weight * 4.5 * projected(seen_ - bare, seen_, 0.5, 50.0)
        guided = guided + weight * 4.0 * projected(both - seen_, both, 0.5, 50.0)
        torch.testing.assert_close(velocity, (sample - guided) / sigma, rtol=1e-4, atol=1e-4)
    assert used == sorted(used)
    assert set(used) == set(range(len(networks)))


def test_pictures_of_other_shapes_are_seen_and_named(loaded: Load, request_for: Make) -> None:
    model = loaded("bernini_r", "tiny")
    wide = Image.new("RGB", (200, 40), "red")
    request = request_for()
    video = model.generate(replace(request, references=(*request.references[:1], wide)))
    assert video.info.settings["references_used"] == 2
    sent = str(video.info.settings["prompt_sent"])
    assert sent == PREFIX + "A young woman from image0 and image1 smiles at the sea, in warm light"
    shapes = [encode_pictures(model.pipe.vae, [fitted(wide, 848)]).shape]  # type: ignore[attr-defined]
    assert shapes == [(1, 16, 1, 4, 24)]


@pytest.mark.parametrize(
    ("prompt", "word", "count", "named"),
    [
        ("A man waves to women.", "man", 1, "A man from image0 waves to women."),
        ("Women see a woman.", "woman", 3, "Women see a woman from image0, image1 and image2."),
        ("Somebody waves.", "man", 2, "The person from image0 and image1: Somebody waves."),
        ("Somebody waves.", "", 1, "The person from image0: Somebody waves."),
    ],
)
def test_the_prompt_names_its_pictures(prompt: str, word: str, count: int, named: str) -> None:
    assert name_pictures(prompt, word, count) == named


def test_shapes_are_refused_and_missing_weights_are_told(request_for: Make, tmp_path: Path) -> None:
    model = create("bernini_r")
    with pytest.raises(RequestError):
        model.check(request_for(frames=80))
    for variant, repository in REPOSITORIES.items():
        with pytest.raises(MissingWeights, match=rf"{repository.name}.*GB.*Apache-2.0.*hf download"):
            model.require(tmp_path, variant)
    folder = REPOSITORIES["14b"].place(tmp_path)
    for part in REPOSITORIES["14b"].parts[:-1]:
        (folder / part).mkdir(parents=True)
        (folder / part / "some.json").write_text("{}")
    with pytest.raises(MissingWeights, match=r"lacks transformer_2 of"):
        model.require(tmp_path, "14b")
