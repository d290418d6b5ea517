"""Every wrapper end to end on tiny weights in the published layout, through the production loaders."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.baselines.contract import Baseline, FirstFrame, Request, Setting
from mmbench.baselines.pictures import cover
from mmbench.baselines.registry import create
from mmbench.errors import MissingWeights, ReferenceFaceError, RequestError

MODELS = [
    ("bernini_r", "tiny"),
    ("bernini_r", "tiny-14b"),
    ("cogvideox", "tiny"),
    ("cogvideox_i2v", "tiny"),
    ("consisid", "tiny"),
    ("dynamicrafter", "tiny"),
    ("dynamicrafter", "tiny-256"),
    ("easyanimate", "tiny"),
    ("easyanimate", "tiny-v5"),
    ("id_animator", "tiny"),
    ("magic_mirror", "nano"),
    ("magic_mirror", "smoke"),
    ("lynx", "tiny"),
    ("minimax_h3", "tiny"),
    ("phantom", "tiny"),
    ("phantom", "tiny-14b"),
    ("skyreels_v3", "tiny"),
    ("stand_in", "tiny"),
    ("vace", "tiny"),
]
NAMES = sorted({name for name, _ in MODELS})
ACCEPTED: dict[str, dict[str, Setting]] = {"minimax_h3": {"accept_licence": True}}
"""Options without which a published variant is refused."""
UNREGISTERED = ("bernini_r", "lynx", "magic_mirror", "minimax_h3", "phantom", "skyreels_v3", "stand_in", "vace")
"""Models some of whose files are not in the registry: what they say of missing ones is tested beside them."""
Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_a_video_has_the_native_shape_and_says_how_it_was_made(
    name: str, variant: str, loaded: Load, request_for: Make
) -> None:
    model = loaded(name, variant)
    video = model.generate(request_for())
    native = model.native(variant)
    assert video.frames.shape == (native.frames, *native.size, 3)
    assert video.frames.dtype == np.uint8
    assert video.frames.std() > 1
    assert video.fps == native.fps
    assert video.info.seconds > 0
    assert video.info.peak_bytes is None
    assert ("img" in video.info.prompt_used.split()) == model.needs_trigger
    assert not video.info.truncated
    assert video.info.settings["random_weights"] is True
    assert video.info.settings["variant"] == variant
    assert video.info.settings["guidance"] == native.guidance


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_frames_follow_from_the_request_alone(name: str, variant: str, loaded: Load, request_for: Make) -> None:
    model = loaded(name, variant)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 - the global state is what is watched
    first = model.generate(request_for())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    torch.manual_seed(99)
    assert np.array_equal(model.generate(request_for()).frames, first.frames)
    assert not np.array_equal(model.generate(request_for(seed=4)).frames, first.frames)


@pytest.mark.parametrize(("name", "variant"), [model for model in MODELS if model[0] != "cogvideox"])
def test_another_picture_gives_other_frames(name: str, variant: str, loaded: Load, request_for: Make) -> None:
    model = loaded(name, variant)
    request = request_for()
    other = request_for(reference=7) if model.kind == "identity" else request_for(first=7)
    assert not np.array_equal(model.generate(request).frames, model.generate(other).frames)


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_another_prompt_gives_other_frames(name: str, variant: str, loaded: Load, request_for: Make) -> None:
    model = loaded(name, variant)
    other = request_for(prompt="A woman img runs away", short_prompt="a woman img runs")
    assert not np.array_equal(model.generate(request_for()).frames, model.generate(other).frames)


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_the_wrapper_chooses_the_prompt_its_model_was_published_with(
    name: str, variant: str, loaded: Load, request_for: Make
) -> None:
    model = loaded(name, variant)
    used = model.generate(request_for()).info.prompt_used
    short = model.kind == "i2v" or name == "stand_in"
    trigger = " img" if model.needs_trigger else ""
    long = f"A young woman{trigger} smiles at the sea, in warm light"
    assert used == (f"a young woman{trigger} smiles" if short else long)
    assert create(name, "short").prompt_for(request_for()) == f"a young woman{trigger} smiles"
    assert create(name, "long").prompt_for(request_for()) == long


@pytest.mark.parametrize(("name", "variant"), [model for model in MODELS if model[0] != "minimax_h3"])
def test_a_prompt_that_the_text_encoder_cuts_is_reported(
    name: str, variant: str, loaded: Load, request_for: Make
) -> None:
    endless = "a woman img " + "walks on and on " * 60
    assert loaded(name, variant).generate(request_for(prompt=endless, short_prompt=endless)).info.truncated


@pytest.mark.parametrize("name", NAMES)
def test_wrong_requests_are_refused_before_anything_is_loaded(name: str, request_for: Make) -> None:
    model = create(name)
    make = partial(request_for, options=ACCEPTED.get(name, {}))
    wrong = [
        make(size=(37, 53)),
        make(frames=2 if name != "id_animator" else 40),
        make(steps=0),
        make(guidance=-1.0),
        make(seed=-1),
        make(prompt=" img ", short_prompt=""),
    ]
    if model.kind == "identity":
        wrong += [make(references=()), make(references=(Image.new("L", (64, 64)),))]
    if model.kind == "i2v":
        wrong += [make(first_frame=None), make(first_frame=Image.new("RGBA", (64, 64)))]
    for request in wrong:
        with pytest.raises(RequestError):
            model.check(request)
    for variant in (*model.variants, *model.tiny_variants):
        model.check(make(), variant)
    with pytest.raises(RequestError, match="no variant"):
        model.check(make(), "13b")


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_a_loaded_model_refuses_a_wrong_size_too(name: str, variant: str, loaded: Load, request_for: Make) -> None:
    with pytest.raises(RequestError):
        loaded(name, variant).generate(request_for(size=(37, 53)))


def test_eight_frames_are_no_video_of_cogvideox(request_for: Make) -> None:
    """diffusers accepts 8 and returns 8 frames of doubtful meaning."""
    for name in ("cogvideox", "cogvideox_i2v", "consisid"):
        with pytest.raises(RequestError, match="4k\\+1"):
            create(name).check(request_for(frames=8))


def test_magic_mirror_never_runs_at_full_size_without_a_trained_adapter(tmp_path: Path, request_for: Make) -> None:
    model = create("magic_mirror")
    with pytest.raises(MissingWeights, match="authors published no weights"):
        model.load("cpu", "auto", "5b", tmp_path)
    (tmp_path / "magic_mirror").mkdir()
    (tmp_path / "magic_mirror" / "magic_mirror.safetensors").write_bytes(b"x")
    with pytest.raises(MissingWeights, match="CogVideoX-5b") as found:
        model.load("cpu", "auto", "5b", tmp_path)
    assert "photomaker-v2.bin" in str(found.value)
    with pytest.raises(RequestError, match="identity's word"):
        model.check(request_for(prompt="somebody smiles", class_word=""))
    model.check(request_for(prompt="a woman smiles", class_word="woman"))


def test_a_class_word_does_instead_of_the_trigger(loaded: Load, request_for: Make) -> None:
    video = loaded("magic_mirror", "nano").generate(request_for(prompt="A young woman is smiling", class_word="woman"))
    assert video.info.settings["identity_words"] == "woman"
    assert video.info.settings["weights_note"] == "random"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNREGISTERED])
def test_missing_weights_name_source_file_size_licence_and_command(name: str, tmp_path: Path) -> None:
    model = create(name)
    for variant in model.variants:
        with pytest.raises(MissingWeights) as found:
            model.load("cpu", "auto", variant, tmp_path)
        text = str(found.value)
        files = model.weights(variant)
        assert files
        for entry in files:
            assert entry.licence in text
            assert (entry.path or entry.location) in text
        assert files[0].repo in text
        assert "GB" in text
        assert "mmbench weights get" in text
        with pytest.raises(RequestError, match="not loaded"):
            model.generate(Request("a woman", 1))


def test_learned_positions_allow_one_length(request_for: Make) -> None:
    """diffusers would silently compute other positions for another number of frames."""
    for name in ("cogvideox_i2v", "consisid"):
        with pytest.raises(RequestError, match="learned positions"):
            create(name).check(request_for(frames=25))
    create("cogvideox").check(request_for(frames=25))


@pytest.mark.parametrize("name", ["cogvideox", "cogvideox_i2v"])
def test_cogvideox_is_the_plain_pipeline_with_the_published_arguments(
    name: str, loaded: Load, tiny_folder: Callable[[str], Path], request_for: Make
) -> None:
    from diffusers import CogVideoXDPMScheduler, DiffusionPipeline

    request = request_for()
    model = loaded(name, "tiny")
    pipe = DiffusionPipeline.from_pretrained(tiny_folder(name) / model.repo.replace("/", "--"))  # type: ignore[attr-defined]
    pipe.scheduler = CogVideoXDPMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pictures = {"image": cover(request.first_frame, (32, 48))} if model.kind == "i2v" and request.first_frame else {}
    with torch.no_grad():
        frames = pipe(
            prompt=model.prompt_for(request),
            num_frames=9,
            height=32,
            width=48,
            num_inference_steps=2,
            guidance_scale=6.0,
            use_dynamic_cfg=True,
            generator=torch.Generator().manual_seed(request.seed),
            output_type="np",
            **pictures,
        ).frames[0]
    difference = model.generate(request).frames - (frames * 255).round()
    assert np.abs(difference).max() <= 1  # of 255: weights loaded twice, so sums may round otherwise


def test_first_frames_follow_seed_references_and_prompt(first_frames: FirstFrame, request_for: Make) -> None:
    request = request_for()
    size = (48, 72)

    def make(
        prompt: str = request.prompt, references: tuple[Image.Image, ...] = request.references, seed: int = 3
    ) -> np.ndarray:
        return np.asarray(first_frames.make(prompt, references, size, seed))

    first = make()
    assert first.shape == (*size, 3)
    assert np.array_equal(make(), first)
    assert not np.array_equal(make(seed=4), first)
    assert not np.array_equal(make(references=request.references[:1]), first)
    assert not np.array_equal(make(references=request.references[::-1]), first)
    assert not np.array_equal(make(prompt="A young woman img frowns"), first)


def test_a_first_frame_needs_the_trigger_and_a_face(first_frames: FirstFrame, request_for: Make) -> None:
    references = request_for().references
    with pytest.raises(RequestError, match="trigger"):
        first_frames.make("A young woman smiles", references, (48, 72), 1)
    with pytest.raises(ReferenceFaceError):
        first_frames.make("A woman img smiles", (), (48, 72), 1)


def test_half_precision_runs_where_upstream_runs_it(tiny_folder: Callable[[str], Path], request_for: Make) -> None:
    model = create("cogvideox")
    model.load("cpu", "bfloat16", "tiny", tiny_folder("cogvideox"))
    video = model.generate(request_for())
    assert video.info.settings["dtype"] == "bfloat16"
    assert video.frames.std() > 1


@pytest.mark.parametrize("name", ["cogvideox", "consisid"])
def test_steps_that_do_not_divide_the_schedule_are_warned_of_once(
    name: str, tiny_folder: Callable[[str], Path], request_for: Make, caplog: pytest.LogCaptureFixture
) -> None:
    model = create(name)
    model.load("cpu", "auto", "tiny", tiny_folder(name))
    for steps, times in ((2, 0), (3, 1), (3, 1)):
        model.generate(request_for(steps=steps))
        assert caplog.text.count("3 steps do not divide 1000") == times
