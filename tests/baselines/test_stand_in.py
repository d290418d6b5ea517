"""Stand-In: the branch against diffusers' own transformer, the face's picture, guidance, and both Wans' networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.registry import create
from mmbench.baselines.stand_in import branch
from mmbench.baselines.stand_in.branch import FaceAdapters, see_face, velocity_with
from mmbench.baselines.stand_in.faces import CROP, ParsedCutter, around, on_square
from mmbench.baselines.stand_in.model import REPOSITORIES
from mmbench.baselines.wan.tiny import transformer_config
from mmbench.errors import MissingWeights, RequestError, WeightsError

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]
GRID = (3, 2, 3)


@pytest.fixture(scope="module")
def network() -> Any:
    from diffusers import WanTransformer3DModel

    torch.manual_seed(1)
    return WanTransformer3DModel(**transformer_config()).eval()


@pytest.fixture
def given_tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents of a video, of a face, and an embedded prompt."""
    torch.manual_seed(2)
    return (
        torch.randn(1, 16, 3, 4, 6),
        torch.randn(1, 16, 1, 4, 4),
        torch.randn(1, 12, transformer_config()["text_dim"]),
    )


def test_without_a_face_it_is_diffusers_own_network(network: Any, given_tensors: tuple[torch.Tensor, ...]) -> None:
    latents, _, text = given_tensors
    for time in (0.0, 37.5, 999.0):
        timestep = torch.tensor([time])
        with torch.no_grad():
            stock = network(latents, timestep, text, return_dict=False)[0]
            torch.testing.assert_close(
                velocity_with(network, None, latents, timestep, text), stock, atol=2e-5, rtol=1e-4
            )


def test_the_face_depends_on_no_prompt_and_acts_on_the_video(
    network: Any, given_tensors: tuple[torch.Tensor, ...]
) -> None:
    latents, face, text = given_tensors
    adapters = FaceAdapters(3, 24, 4)
    timestep = torch.tensor([500.0])
    with torch.no_grad():
        one, two = (see_face(network, adapters, face, said, GRID) for said in (text, torch.randn_like(text)))
        assert all(
            torch.equal(a, b) for x, y in zip(one.seen, two.seen, strict=True) for a, b in zip(x, y, strict=True)
        )
        assert one.seen[0][0].shape == (1, 2, 4, 12)
        plain = velocity_with(network, None, latents, timestep, text)
        seen = velocity_with(network, one, latents, timestep, text)
        other = velocity_with(network, see_face(network, adapters, -face, text, GRID), latents, timestep, text)
        moved = velocity_with(network, see_face(network, adapters, face, text, (3, 4, 9)), latents, timestep, text)
    for different in (plain, other, moved):  # another face, and another place behind the video
        assert (seen - different).abs().max() > 1e-4


def test_adapters_act_and_start_at_nothing(network: Any, given_tensors: tuple[torch.Tensor, ...]) -> None:
    _, face, text = given_tensors
    adapters, other = FaceAdapters(3, 24, 4), FaceAdapters(3, 24, 4)
    with torch.no_grad():
        trained = see_face(network, adapters, face, text, GRID).seen
        for block in (*adapters.blocks, *other.blocks):
            for name in ("q_loras", "k_loras", "v_loras"):
                getattr(block.self_attn, name).up.weight.zero_()
        nothing, same = (see_face(network, one, face, text, GRID).seen for one in (adapters, other))
    assert torch.equal(nothing[-1][0], same[-1][0])
    assert (trained[-1][0] - nothing[-1][0]).abs().max() > 1e-4


def test_guidance_is_of_the_text_and_the_face_is_found_once(
    loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    model = loaded("stand_in", "tiny")
    answers: list[torch.Tensor] = []
    looks: list[int] = []
    taken: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []
    real_look, real_answer, real_step = branch.see_face, branch.velocity_with, FlowMatchEulerDiscreteScheduler.step

    def look(*words: Any) -> Any:
        looks.append(1)
        return real_look(*words)

    def answer(*words: Any) -> torch.Tensor:
        answers.append(real_answer(*words))
        return answers[-1]

    def step(self: Any, velocity: torch.Tensor, timestep: torch.Tensor, latents: torch.Tensor, **more: Any) -> Any:
        found = real_step(self, velocity, timestep, latents, **more)
        taken.append((velocity.clone(), timestep.clone(), latents.clone(), found[0].clone()))
        return found

    monkeypatch.setattr(branch, "see_face", look)
    monkeypatch.setattr(branch, "velocity_with", answer)
    monkeypatch.setattr(FlowMatchEulerDiscreteScheduler, "step", step)
    model.generate(replace(request_for(), steps=3))
    assert (len(looks), len(answers), len(taken)) == (1, 6, 3)
    shifted = [5 * s / (1 + 4 * s) for s in (1.0, 2 / 3, 1 / 3, 0.0)]
    for number, (velocity, timestep, before, after) in enumerate(taken):
        both, alone = answers[2 * number : 2 * number + 2]
        torch.testing.assert_close(velocity, alone + 5.0 * (both - alone))
        assert float(timestep) == pytest.approx(1000 * shifted[number], rel=1e-5)
        torch.testing.assert_close(
            after, before + (shifted[number + 1] - shifted[number]) * velocity, atol=1e-5, rtol=1e-4
        )


def test_of_wan_22_each_network_answers_in_its_part(
    loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second network, with adapters of its own, from the step on that falls below the switch."""
    from copy import deepcopy

    model: Any = loaded("stand_in", "tiny")
    early, late = model.pipe.transformer, deepcopy(model.pipe.transformer)
    asked: list[tuple[int, float]] = []
    real = branch.velocity_with

    def answer(network: Any, face: Any, latents: Any, timestep: torch.Tensor, text: Any) -> torch.Tensor:
        asked.append((0 if network is early else 1, float(timestep)))
        return real(network, face, latents, timestep, text)

    monkeypatch.setattr(branch, "velocity_with", answer)
    monkeypatch.setattr(model, "_experts", lambda: [early, late])
    monkeypatch.setattr(model, "adapters", [model.adapters[0], deepcopy(model.adapters[0])])
    model.generate(replace(request_for(), steps=6))
    assert {at for at, _ in asked} == {0, 1}
    assert all((at == 1) == (time < 875) for at, time in asked)


def test_a_checkpoint_with_other_keys_is_refused(loaded: Load, tmp_path: Path) -> None:
    model: Any = loaded("stand_in", "tiny")
    state = FaceAdapters(3, 24, 4).state_dict()
    state.pop("blocks.1.self_attn.k_loras.up.weight")
    torch.save({"state_dict": state}, tmp_path / "other.ckpt")
    with pytest.raises(WeightsError, match=r"other\.ckpt"):
        model._adapters(tmp_path / "other.ckpt", model.pipe.transformer)


@given(st.integers(1, 90), st.integers(1, 90))
def test_a_picture_lies_in_the_middle_of_a_white_square(height: int, width: int) -> None:
    found = on_square(np.zeros((height, width, 3), np.uint8))
    side = max(height, width)
    assert found.shape == (side, side, 3)
    dark = found.max(axis=2) == 0
    assert dark.sum() == height * width
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert abs(rows[0] - (side - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (side - 1 - columns[-1])) <= 1


def test_the_cut_is_half_as_large_again_and_stays_inside() -> None:
    pixels = np.arange(200 * 300 * 3, dtype=np.uint32).astype(np.uint8).reshape(200, 300, 3)
    assert around(pixels, (100, 60, 160, 140)).shape == (120, 120, 3)  # 80 px and half as much
    assert np.array_equal(around(pixels, (100, 60, 160, 140)), pixels[40:160, 70:190])
    assert around(pixels, (0, 0, 60, 80)).shape == (100, 90, 3)  # at a corner, what there is
    assert around(pixels, None) is pixels
    assert around(pixels, (2, 3, 297, 195)) is pixels  # it reaches all borders


def test_what_the_parser_calls_background_is_white() -> None:
    class Faces:
        def find(self, picture: Any, side: int) -> list[Any]:
            boxes = ([5, 5, 15, 15], [40, 30, 80, 80])
            return [SimpleNamespace(box=np.array(box, np.float32)) for box in boxes]

    def parser(given: torch.Tensor) -> tuple[torch.Tensor]:
        assert given.shape == (1, 3, CROP, CROP)
        assert given.min() >= -1
        assert given.max() <= 1
        classes = torch.zeros(1, 2, CROP, CROP)
        classes[:, 1, :, : CROP // 2] = 1
        return (classes,)

    picture = Image.new("RGB", (120, 120), (10, 20, 30))
    found = np.asarray(ParsedCutter(Faces(), parser, "cpu").cut(picture))  # type: ignore[arg-type]
    assert found.shape == (CROP, CROP, 3)
    assert (found[:, : CROP // 2] == (10, 20, 30)).all()
    assert (found[:, CROP // 2 :] == 255).all()


def test_shapes_are_refused_and_missing_weights_are_told(request_for: Make, tmp_path: Path) -> None:
    model = create("stand_in")
    with pytest.raises(RequestError):
        model.check(request_for(frames=80))
    for variant, repository in REPOSITORIES.items():
        with pytest.raises(MissingWeights, match=rf"{repository.name}.*GB.*Apache-2.0.*hf download"):
            model.require(tmp_path, variant)
