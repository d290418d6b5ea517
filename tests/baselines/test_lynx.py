"""Lynx: adapters act and can be turned off, nobody is zeros, guidance by its formula, the wider cut of the face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.lynx import adapters as module
from mmbench.baselines.lynx.adapters import LynxAdapters, Scales, see_person, velocity_with
from mmbench.baselines.lynx.faces import CUT, RecognisedViewer, wider_cut
from mmbench.baselines.lynx.model import BASE, TINY
from mmbench.baselines.registry import create
from mmbench.baselines.wan.blocks import answer
from mmbench.baselines.wan.loop import encode_pictures
from mmbench.baselines.wan.tiny import transformer_config
from mmbench.errors import MissingWeights, ReferenceFaceError, RequestError, WeightsError
from mmbench.face.cut import TEMPLATE

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    from diffusers import WanTransformer3DModel

    torch.manual_seed(1)
    config = transformer_config()
    return {
        "network": WanTransformer3DModel(**config).eval(),
        "adapters": LynxAdapters(3, 24, registers=2, depth=1, inner=16).eval(),
        "latents": torch.randn(1, 16, 3, 4, 6),
        "picture": torch.randn(1, 16, 1, 4, 4),
        "vector": torch.randn(512),
        "text": torch.randn(1, 12, config["text_dim"]),
        "of_a_face": torch.randn(1, 9, config["text_dim"]),
    }


def _velocity(parts: dict[str, Any], scales: Scales, **other: Any) -> torch.Tensor:
    given = {**parts, **other}
    with torch.no_grad():
        network = given["network"]
        person = see_person(network, given["adapters"], given["vector"], given["picture"], given["of_a_face"])
        return velocity_with(network, person, scales, given["latents"], torch.tensor([500.0]), given["text"])


def test_at_scales_of_nothing_it_is_diffusers_own_network(parts: dict[str, Any]) -> None:
    timestep = torch.tensor([500.0])
    with torch.no_grad():
        stock = parts["network"](parts["latents"], timestep, parts["text"], return_dict=False)[0]
        bare = answer(parts["network"], parts["latents"], timestep, parts["text"])
    torch.testing.assert_close(bare, stock, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(_velocity(parts, Scales(0.0, 0.0)), stock, atol=2e-5, rtol=1e-4)


def test_each_adapter_acts_by_itself(parts: dict[str, Any]) -> None:
    off, identity, reference, both = (
        _velocity(parts, scales) for scales in (Scales(0, 0), Scales(1, 0), Scales(0, 1), Scales(1, 1))
    )
    found = (off, identity, reference, both)
    assert all((a - b).abs().max() > 1e-5 for n, a in enumerate(found) for b in found[n + 1 :])
    other_vector, other_picture = {"vector": -parts["vector"]}, {"picture": -parts["picture"]}
    assert torch.equal(_velocity(parts, Scales(0, 1), **other_vector), reference)
    assert torch.equal(_velocity(parts, Scales(1, 0), **other_picture), identity)
    assert not torch.equal(_velocity(parts, Scales(1, 0), **other_vector), identity)
    assert not torch.equal(_velocity(parts, Scales(0, 1), **other_picture), reference)
    assert not torch.equal(_velocity(parts, Scales(0, 1), of_a_face=-parts["of_a_face"]), reference)


def test_guidance_is_the_formula_and_nobody_is_zeros(
    loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import UniPCMultistepScheduler

    model: Any = loaded("lynx", "tiny")
    people: list[tuple[torch.Tensor, torch.Tensor]] = []
    answers: list[tuple[Any, torch.Tensor, torch.Tensor]] = []
    velocities: list[torch.Tensor] = []
    real_look, real_answer, real_step = module.see_person, module.velocity_with, UniPCMultistepScheduler.step

    def look(network: Any, adapters: Any, vector: torch.Tensor, picture: torch.Tensor, text: torch.Tensor) -> Any:
        people.append((vector, picture))
        return real_look(network, adapters, vector, picture, text)

    def said(
        network: Any, person: Any, scales: Scales, latents: Any, timestep: Any, text: torch.Tensor
    ) -> torch.Tensor:
        assert scales == Scales(0.5, 0.25)
        found = real_answer(network, person, scales, latents, timestep, text)
        answers.append((person, text, found))
        return found

    def step(self: Any, velocity: torch.Tensor, *rest: Any, **more: Any) -> Any:
        velocities.append(velocity.clone())
        return real_step(self, velocity, *rest, **more)

    monkeypatch.setattr(module, "see_person", look)
    monkeypatch.setattr(module, "velocity_with", said)
    monkeypatch.setattr(UniPCMultistepScheduler, "step", step)
    model.generate(replace(request_for(), options={"identity_scale": 0.5, "reference_scale": 0.25}))
    (vector, picture), (no_vector, no_picture) = people
    assert vector.any()
    assert not no_vector.any()
    blank = encode_pictures(model.pipe.vae, [Image.new("RGB", (32, 32))], torch.Generator().manual_seed(4), blank=True)
    torch.testing.assert_close(no_picture, blank)  # the request's seed is 3
    assert not torch.equal(picture, no_picture)
    assert len(answers) == 3 * len(velocities) == 6
    for number, velocity in enumerate(velocities):
        (person, text, both), (nobody, negative, neither), (same, again, seen) = answers[3 * number : 3 * number + 3]
        assert person is same
        assert nobody is not person
        assert torch.equal(negative, again)
        assert not torch.equal(text, negative)
        torch.testing.assert_close(velocity, neither + 2.0 * (seen - neither) + 5.0 * (both - seen))


def test_files_with_other_keys_are_refused(loaded: Load, tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    model: Any = loaded("lynx", "tiny")
    folder = BASE.place(tiny_folder("lynx"))
    for number, name in enumerate(TINY):
        files = [folder / one for one in TINY]
        state = load_file(files[number])
        state.pop(sorted(state)[0])
        save_file(state, tmp_path / name)
        files[number] = tmp_path / name
        with pytest.raises(WeightsError, match=name.split(".")[0]):
            model._adapters(files)


def test_the_cut_puts_the_points_where_they_belong() -> None:
    """A picture whose points are the wider template's own is the cut, up to rounding."""
    wide = ((TEMPLATE + [0.0, 10.0] - 56) * 0.8 + 56) * 2 + [16.0, 0.0]
    rng = np.random.default_rng(0)
    pixels = np.asarray(Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((CUT, CUT)))
    assert np.abs(wider_cut(pixels, wide).astype(int) - pixels.astype(int)).max() <= 1
    moved = wider_cut(np.pad(pixels, ((40, 0), (20, 0), (0, 0))), wide + [20.0, 40.0])
    assert np.abs(moved.astype(int) - pixels.astype(int)).max() <= 1


def test_the_largest_face_is_seen_and_a_picture_without_one_is_refused() -> None:
    class Faces:
        def __init__(self, boxes: list[list[int]]) -> None:
            self.boxes = boxes

        def find(self, picture: Any, side: int) -> list[Any]:
            assert tuple(picture[0, 0]) == (30, 20, 10)  # blue and red change places, as in the published code
            points = TEMPLATE.astype(np.float32)
            return [SimpleNamespace(box=np.array(box), points=points * (box[2] - box[0]) / 112) for box in self.boxes]

    seen: list[torch.Tensor] = []

    def recogniser(given: torch.Tensor) -> torch.Tensor:
        seen.append(given)
        return torch.ones(1, 512)

    picture = Image.new("RGB", (240, 240), (10, 20, 30))
    found = RecognisedViewer(Faces([[0, 0, 50, 50], [0, 0, 112, 112]]), recogniser, "cpu").views(picture)  # type: ignore[arg-type]
    assert found.vector.shape == (512,)
    assert found.picture.size == (CUT, CUT)
    assert seen[0].shape == (1, 3, 112, 112)
    torch.testing.assert_close(seen[0][0, :, 56, 56], torch.tensor([30, 20, 10]) / 127.5 - 1)  # blue first
    with pytest.raises(ReferenceFaceError, match="no face"):
        RecognisedViewer(Faces([]), recogniser, "cpu").views(picture)  # type: ignore[arg-type]


def test_shapes_are_refused_and_missing_weights_are_told(request_for: Make, tmp_path: Path) -> None:
    model = create("lynx")
    with pytest.raises(RequestError):
        model.check(request_for(frames=80))
    with pytest.raises(MissingWeights, match=r"Wan2.1-T2V-14B-Diffusers.*GB.*Apache-2.0.*hf download"):
        model.require(tmp_path, "full")
