"""MiniMax-H3: nothing without its licence's acceptance, its shapes, its sections, diffusers' own pipeline beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.minimax_h3 import model as h3
from mmbench.baselines.minimax_h3.prompt import in_sections
from mmbench.baselines.registry import create
from mmbench.config import GenerateSettings
from mmbench.errors import MissingDependency, MissingWeights, RequestError, WeightsError
from mmbench.runs.generate.plan import Job, check_settings
from mmbench.testsets import load_testset

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]
ACCEPTED = {"accept_licence": True}
NAME = ("minimax_h3", "tiny")


@pytest.mark.parametrize("options", [{}, {"accept_licence": False}, {"accept_licence": "no"}, {"form": "plain"}])
def test_without_acceptance_it_says_for_whom_the_licence_is(request_for: Make, options: dict[str, Any]) -> None:
    model = create("minimax_h3")
    with pytest.raises(RequestError) as found:
        model.check(request_for(options=options))
    for told in ("MiniMax H3 Community License", "2 August 2026", "EU", "United Kingdom", "South Korea",
                 "United States", "videos", "20 million", "https://", "--option accept_licence=true"):  # fmt: skip
        assert told in str(found.value)
    model.check(request_for(options={**options, "accept_licence": "true"}), "ref2va")
    model.check(request_for(options=options), "tiny")


def test_a_run_is_refused_for_its_licence_before_it_is_for_its_weights(tmp_path: Path) -> None:
    model = create("minimax_h3")
    who = load_testset("synthetic50").identities[0]
    jobs = [Job("one", who, who.prompts[0], 1)]
    asked = GenerateSettings(models=("minimax_h3",)).for_model("minimax_h3")
    with pytest.raises(RequestError, match="accept_licence"):
        check_settings(model, "ref2va", jobs, asked)
    check_settings(model, "ref2va", jobs, asked.model_copy(update={"options": ACCEPTED}))
    with pytest.raises(MissingWeights) as found:
        model.require(tmp_path, "ref2va")
    for told in ("transformer_ref", "MiniMaxAI/MiniMax-H3", "144 GB", h3.LICENCE, h3.LIMITS, "hf download"):
        assert told in str(found.value)
    assert "--include 'transformer_ref/*'" in str(found.value)
    assert "'transformer/*'" not in str(found.value)


def test_acceptance_is_recorded_and_sets_no_videos_apart(loaded: Load, request_for: Make) -> None:
    model = loaded(*NAME)
    assert model.changed_options({**ACCEPTED, "form": "plain"}) == {"form": "plain"}
    first, second = (model.generate(request_for(options=options)) for options in ({}, ACCEPTED))
    assert np.array_equal(first.frames, second.frames)
    assert [video.info.settings["accept_licence"] for video in (first, second)] == [False, True]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"guidance": 5.0}, "neither guidance"),
        ({"guidance": 0.0}, "neither guidance"),
        ({"negative": "blurred"}, "negative prompt"),
        ({"steps": 1}, "steps >= 2"),
        ({"references": (Image.new("RGB", (90, 20)),)}, "4:1, not 90x20"),
        ({"size": (768, 1340)}, "thirty-twos"),
        ({"size": (256, 1280)}, "between 1:4 and 4:1"),
    ],
)
def test_what_it_cannot_do_is_refused(request_for: Make, changes: dict[str, Any], cause: str) -> None:
    with pytest.raises(RequestError, match=cause):
        create("minimax_h3").check(request_for(options=ACCEPTED, **changes))
    create("minimax_h3").check(request_for(options=ACCEPTED, guidance=1.0, negative="", steps=2, size=(544, 960)))


def test_its_numbers_of_frames_are_those_that_diffusers_makes_as_asked(request_for: Make) -> None:
    from diffusers.modular_pipelines.minimax_h3.modular_pipeline import align_num_frames

    def makes(frames: int) -> bool:
        try:
            create("minimax_h3").check(request_for(options=ACCEPTED, frames=frames))
        except RequestError:
            return False
        return True

    made = [frames for frames in range(1, 400) if makes(frames)]
    assert made == [n for n in range(1, 400) if align_num_frames(n, 17, 5) == n and 5 <= n / 24 <= 15]


@pytest.mark.parametrize("steps", [2, 4])
def test_it_is_diffusers_own_pipeline(
    loaded: Load, tiny_folder: Callable[[str], Path], request_for: Make, steps: int
) -> None:
    from diffusers import ModularPipeline
    from diffusers.modular_pipelines.minimax_h3 import MiniMaxH3ImageReference

    model, request = loaded(*NAME), request_for(steps=steps, size=(64, 32))
    folder = h3.REPOSITORY.place(tiny_folder("minimax_h3"))
    pipe = ModularPipeline.from_pretrained(folder, workflow="ref2va", local_files_only=True)
    pipe.load_components(pretrained_model_name_or_path=str(folder), local_files_only=True)
    forwards: list[int] = []
    watched = [pipe.transformer_ref, model.pipe.transformer_ref]  # type: ignore[attr-defined]
    handles = [one.register_forward_hook(lambda *_: forwards.append(1)) for one in watched]
    expected = pipe(
        prompt=in_sections("A young woman smiles at the sea, in warm light", "woman", 2),
        references=[MiniMaxH3ImageReference(image=picture) for picture in request.references],
        height=64,
        width=32,
        num_frames=124,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="np",
        output="videos",
    )
    video = model.generate(request)
    for handle in handles:
        handle.remove()
    assert len(forwards) == 2 * (steps - 1)
    assert video.info.settings["forwards"] == steps - 1
    assert np.abs(video.frames - np.round(expected[0] * 255)).max() <= 1  # loaded twice, so sums may round otherwise


def test_all_pictures_are_seen_in_order_as_large_as_the_index_says(loaded: Load, request_for: Make) -> None:
    model: Any = loaded(*NAME)
    seen: list[torch.Tensor] = []
    real = model.pipe.vae.encode

    def encode(pixels: torch.Tensor, **options: Any) -> Any:
        seen.append(pixels.clone())
        return real(pixels, **options)

    model.pipe.vae.encode = encode
    try:
        videos = [model.generate(request_for(seed=seed)) for seed in (1, 2)]
        swapped = request_for(seed=1)
        swapped = request_for(seed=1, references=swapped.references[::-1])
        videos.append(model.generate(swapped))
    finally:
        del model.pipe.vae.encode
    assert [tuple(pixels.shape[-2:]) for pixels in seen] == [(64, 64)] * 6  # 96x80: the longer side to a multiple of 32
    first, second, other_order = seen[:2], seen[2:4], seen[4:]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, other_order[::-1], strict=True))
    assert not torch.equal(*first)
    assert all(video.info.settings["references_used"] == 2 for video in videos)
    assert not np.array_equal(videos[0].frames, videos[2].frames)


def test_the_prompt_stands_in_six_sections_and_is_never_cut(loaded: Load, request_for: Make) -> None:
    endless = "a woman img " + "walks on and on " * 60
    video = loaded(*NAME).generate(request_for(prompt=endless))
    assert not video.info.truncated
    assert video.info.settings["prompt_sent"] == in_sections(video.info.prompt_used, "woman", 2)
    plain = loaded(*NAME).generate(request_for(prompt=endless, options={"form": "plain"}))
    assert plain.info.settings["prompt_sent"] == plain.info.prompt_used
    assert not np.array_equal(plain.frames, video.frames)


@pytest.mark.parametrize("pictures", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("prompt", "word", "scene"),
    [
        ("A woman smiles", "woman", "A woman (<Subject 1>) smiles"),
        ("Two women, one Woman: a woman", "woman", "Two women, one Woman (<Subject 1>): a woman"),
        ("A womanly man", "woman", "<Subject 1> is seen here: A womanly man"),
        ("Somebody smiles", "", "<Subject 1> is seen here: Somebody smiles"),
    ],
)
def test_sections(prompt: str, word: str, scene: str, pictures: int) -> None:
    text = in_sections(prompt, word, pictures)
    sections = dict(part.split(":\n", 1) for part in text.split("\n\n"))
    assert list(sections) == ["subject_definitions", "summary", "retention_analysis", "detailed_description",
                              "overall_soundscape", "non_diegetic_music"]  # fmt: skip
    assert sections["detailed_description"] == f"[Shot 1] {scene}"
    defined = sections["subject_definitions"]
    assert defined.startswith(f"<Subject 1> is the {word or 'person'} in <Picture 1>")
    assert [f"<Picture {number}>" in text for number in range(1, 6)] == [number <= pictures for number in range(1, 6)]


def test_an_old_transformers_is_named(monkeypatch: pytest.MonkeyPatch, tiny_folder: Callable[[str], Path]) -> None:
    from transformers import Qwen3VLProcessor

    for kind in Qwen3VLProcessor.__mro__:
        if "create_mm_token_type_ids" in vars(kind):
            monkeypatch.delattr(kind, "create_mm_token_type_ids")
    with pytest.raises(MissingDependency, match=r"transformers 5\.4.*pip install -U transformers"):
        create("minimax_h3").load("cpu", "auto", "tiny", tiny_folder("minimax_h3"))


def test_where_memory_is_short_networks_take_turns(
    monkeypatch: pytest.MonkeyPatch, loaded: Load, tiny_folder: Callable[[str], Path], request_for: Make
) -> None:
    """The manager is told so; that it moves them is diffusers' own, and needs an accelerator to be seen."""
    from diffusers import ComponentsManager

    told: list[tuple[set[str], str, str]] = []

    def offload(manager: Any, device: str, memory_reserve_margin: str) -> None:
        told.append(({name.rsplit("_", 1)[0] for name in manager.components}, device, memory_reserve_margin))

    monkeypatch.setattr(ComponentsManager, "enable_auto_cpu_offload", offload)
    monkeypatch.setattr(h3, "lacks_room", lambda device: True)
    expected = loaded(*NAME).generate(request_for())
    model = create("minimax_h3")
    model.load("cpu", "auto", "tiny", tiny_folder("minimax_h3"))
    ((names, device, margin),) = told
    assert set(h3.NETWORKS) <= names
    assert (device, margin) == ("cpu", h3.SPARE)
    video = model.generate(request_for())
    assert video.info.settings["placement"] == "offload"
    assert np.abs(video.frames.astype(int) - expected.frames).max() <= 1
    model.close()
    assert model.parameters().everything == 0


@pytest.mark.parametrize("edge", ["64", 0, -64, 10**9, True, None, 64.5])
def test_an_index_without_a_size_of_pictures_is_named(tmp_path: Path, edge: Any) -> None:
    assert h3.short_edge(tmp_path) == 2048
    (tmp_path / h3.INDEX).write_text(json.dumps({h3.SHORT_EDGE: 64}), encoding="utf-8")
    assert h3.short_edge(tmp_path) == 64
    (tmp_path / h3.INDEX).write_text(json.dumps({h3.SHORT_EDGE: edge}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"modular_model_index\.json.*no number of pixels"):
        h3.short_edge(tmp_path)


def test_classes_that_the_index_names_are_not_imported(
    tmp_path: Path, loaded: Load, tiny_folder: Callable[[str], Path]
) -> None:
    loaded(*NAME)
    copy = h3.REPOSITORY.place(tmp_path)
    shutil.copytree(h3.REPOSITORY.place(tiny_folder("minimax_h3")), copy)
    said = json.loads((copy / h3.INDEX).read_text(encoding="utf-8"))
    said["vae"] = ["no_such_library", "Evil", {"type_hint": ["no_such_library", "Evil"]}]
    said["_class_name"] = said["_blocks_class_name"] = "Evil"
    (copy / h3.INDEX).write_text(json.dumps(said), encoding="utf-8")
    create("minimax_h3").load("cpu", "auto", "tiny", tmp_path)


@pytest.mark.parametrize("name", ["vae", "text_encoder"])
def test_a_network_whose_configuration_or_weights_are_lost_is_named(
    tmp_path: Path, loaded: Load, tiny_folder: Callable[[str], Path], name: str
) -> None:
    loaded(*NAME)
    copy = h3.REPOSITORY.place(tmp_path)
    shutil.copytree(h3.REPOSITORY.place(tiny_folder("minimax_h3")), copy)
    (copy / name / "config.json").unlink()
    with pytest.raises(MissingWeights, match=rf"{name}.config\.json"):
        create("minimax_h3").load("cpu", "auto", "tiny", tmp_path)
    shutil.rmtree(copy / name)
    (copy / name).mkdir()
    with pytest.raises(MissingWeights, match=rf"lacks {name}"):
        create("minimax_h3").load("cpu", "auto", "tiny", tmp_path)
