"""The pipeline's contract, on the smoke model: the base without an identity, and every behaviour with one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.errors import MissingDependency, MissingWeights, ReferenceFaceError, RequestError
from mmbench.model.network.takeover import to_base
from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline
from mmbench.model.small.nano import build_pipeline, example_reference


@pytest.fixture(scope="module")
def stock_pipe(pipe):
    """diffusers' own pipeline on the same weights."""
    from diffusers import CogVideoXPipeline

    made = CogVideoXPipeline(pipe.tokenizer, pipe.text_encoder, pipe.vae, to_base(pipe.transformer), pipe.scheduler)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def default(run):
    return run().frames


@pytest.mark.parametrize("wave", [True, False])
@pytest.mark.parametrize("scheduler", ["DPM", "DDIM"])
def test_identity_off_is_the_stock_pipeline_bit_for_bit(pipe, stock_pipe, run, wave, scheduler):
    from diffusers import CogVideoXDDIMScheduler

    held = pipe.scheduler
    if scheduler == "DDIM":
        pipe.scheduler = stock_pipe.scheduler = CogVideoXDDIMScheduler.from_config(held.config)
    text = "a young man is smiling"
    settings = {"num_inference_steps": 4, "use_dynamic_cfg": wave, "max_sequence_length": 160, "num_frames": 9}
    want = stock_pipe(text, **settings, generator=torch.Generator().manual_seed(0), output_type="np").frames
    try:
        cases = [(text, {"id_image": None}), (text, {"identity_scale": 0.0})]
        cases.append(("a young man img is smiling", {"identity_scale": 0.0}))
        for prompt, off in cases:
            assert np.array_equal(run(prompt, **settings, **off).frames, want)
    finally:
        pipe.scheduler = stock_pipe.scheduler = held


def test_identity_enters_and_seeds_decide(run, default):
    assert np.array_equal(run().frames, default)
    other = run(id_image=example_reference(1)).frames
    assert np.abs(other - default).max() > 1e-4
    assert np.abs(run(seed=1).frames - default).max() > 1e-2
    assert default.shape == (1, 9, 32, 32, 3)


@pytest.mark.parametrize("mode", ["shared", "null", "base", "split"])
@pytest.mark.parametrize("start", [0, 2])
def test_tables_equal_the_direct_path_end_to_end(run, mode, start):
    settings = {"identity_guidance": mode, "identity_start_step": start, "identity_guidance_scale": 3.0}
    fast, direct = run(**settings), run(**settings, fast_path=False)
    assert fast.info.direct_path is None
    assert direct.info.direct_path == "fast_path=False"
    assert np.abs(fast.frames - direct.frames).max() < 1e-5


def test_without_guidance_only_the_positive_half_runs(run):
    fast, direct = (run(guidance_scale=1.0, fast_path=f).frames for f in (True, False))
    assert np.abs(fast - direct).max() < 1e-5


def test_released_modulation_changes_nothing(run, default):
    assert np.array_equal(run(release_modulation=True).frames, default)


def test_save_and_load_give_the_same_frames(pipe, run, default, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = MagicMirrorPipeline.from_pretrained(str(tmp_path))
    again.set_progress_bar_config(disable=True)
    assert again.weights_note == "random"
    with pytest.raises(RequestError, match="face_analyser"):
        run(pipeline=again)
    again.face_analyser = pipe.face_analyser
    for name in ("transformer", "face_encoder", "text_encoder", "vae"):
        held = getattr(pipe, name).state_dict()
        assert all(torch.equal(tensor, held[key]) for key, tensor in getattr(again, name).state_dict().items()), name
    # a file's weights lie elsewhere in memory, and sums round otherwise: 2.4e-7 has been seen
    assert np.abs(run(pipeline=again).frames - default).max() < 1e-5


def test_the_default_analyser_is_sought_on_the_pipelines_device(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path))

    class On:
        face_analyser = None

        def __init__(self, device):
            self._execution_device = torch.device(device)

        def _face_encoder(self):
            return SimpleNamespace(config=SimpleNamespace(embedding_dim=512))

    for device in ("cpu", "mps"):  # onnxruntime has no mps: one picture is no matter for the processor
        with pytest.raises(MissingWeights, match="det-10g"):
            MagicMirrorPipeline._analyser(On(device))
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(MissingDependency, match="cuda:1"):
            MagicMirrorPipeline._analyser(On("cuda:1"))


def test_encoded_face_is_reusable(pipe, run, reference, default):
    face = pipe.encode_face(reference)
    assert np.array_equal(run(face_embeds=face).frames, default)
    assert np.array_equal(run(face_embeds=face).frames, default)
    other = run(face_embeds=pipe.encode_face([reference, example_reference(1)]))
    assert np.abs(other.frames - default).max() > 1e-4


def test_several_videos_per_prompt(run, default):
    """Each video equals the one made alone with its generator."""
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    pair = run(num_videos_per_prompt=2, generator=generators).frames
    assert pair.shape[0] == 2
    assert np.allclose(pair[0], default[0], atol=1e-5)
    assert np.allclose(pair[1], run(seed=1).frames[0], atol=1e-5)


def test_batch_of_prompts_equals_singles(pipe, run, reference):
    prompts = ["a young man img is smiling", "a woman img is talking"]
    faces = [pipe.encode_face(reference), pipe.encode_face(example_reference(1))]
    both = type(faces[0])(*(torch.cat([getattr(f, n) for f in faces]) for n in ("identity", "tokens")))
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    frames = run(prompts, face_embeds=both, generator=generators).frames
    for index in range(2):
        alone = run(prompts[index], face_embeds=faces[index], seed=5 + index).frames
        assert np.allclose(frames[index], alone[0], atol=1e-5)


def test_precomputed_text_embeddings(pipe, run, default):
    with torch.no_grad():
        plain, negative = pipe.encode_prompt("a young man is smiling", max_sequence_length=160)
    mask = pipe.identity_mask("a young man img is smiling")
    frames = run(None, prompt_embeds=plain, negative_prompt_embeds=negative, identity_mask=mask).frames
    assert np.array_equal(frames, default)
    with pytest.raises(RequestError, match="identity_mask"):
        run(None, prompt_embeds=plain)
    with pytest.raises(RequestError, match="differ in shape"):
        run(None, prompt_embeds=plain, negative_prompt_embeds=negative[:, :-1], identity_mask=mask)


@pytest.mark.parametrize(("kind", "check"), [("pil", Image.Image), ("pt", torch.Tensor), ("latent", torch.Tensor)])
def test_output_types(run, kind, check):
    out = run(output_type=kind).frames
    assert isinstance(out[0][0] if kind == "pil" else out, check)
    if kind == "latent":
        assert out.shape == (1, 3, 16, 4, 4)
    assert isinstance(run(return_dict=False), tuple)


def test_one_frame_is_an_image(pipe, run, reference):
    frames = run(num_frames=1).frames
    assert frames.shape == (1, 1, 32, 32, 3)
    generator = torch.Generator().manual_seed(0)
    image = pipe.generate_image(
        "a young man img is smiling", reference, num_inference_steps=4, generator=generator
    ).images[0]
    assert isinstance(image, Image.Image)
    assert np.abs(np.asarray(image) / 255 - frames[0, 0]).max() < 0.01


def test_multi_shot_shares_the_face_and_keeps_seeds(pipe, run, reference):
    shots = pipe.multi_shot(
        reference, "a young man img", ["is smiling", "is walking"], seed=3, num_inference_steps=4, output_type="np"
    )
    assert np.array_equal(shots[0].frames, run(seed=3).frames)
    assert np.array_equal(shots[1].frames, run("a young man img is walking", seed=4).frames)
    same = pipe.multi_shot(
        reference, "a man img", ["smiling"] * 2, same_noise=True, num_inference_steps=1, output_type="np"
    )
    assert np.abs(same[0].frames - same[1].frames).max() < 1e-6


def test_callbacks_read_change_and_interrupt(run, default):
    seen = []

    def watch(pipeline, step, timestep, values):
        seen.append((step, int(timestep), set(values), pipeline.guidance_scale, pipeline.num_timesteps))
        return {}

    names = ["latents", "prompt_embeds", "negative_prompt_embeds", "face_embeds"]
    frames = run(callback_on_step_end=watch, callback_on_step_end_tensor_inputs=names).frames
    assert np.array_equal(frames, default)
    assert [s[0] for s in seen] == [0, 1, 2, 3]
    assert seen[0][2] == set(names)

    def stop(pipeline, step, timestep, values):
        pipeline._interrupt = step == 1
        return {"latents": torch.zeros_like(values["latents"])}

    latents = run(callback_on_step_end=stop, output_type="latent").frames
    assert not latents.any()
    with pytest.raises(RequestError, match="unknown names: noise"):
        run(callback_on_step_end=watch, callback_on_step_end_tensor_inputs=["noise"])


def test_callback_objects_name_their_own_inputs(run, default):
    from diffusers.callbacks import PipelineCallback

    class Watch(PipelineCallback):
        tensor_inputs = ("latents", "face_embeds")
        seen = ()

        def callback_fn(self, pipeline, step_index, timestep, callback_kwargs):
            Watch.seen = tuple(callback_kwargs)
            return callback_kwargs

    frames = run(callback_on_step_end=Watch(cutoff_step_ratio=1.0)).frames
    assert np.array_equal(frames, default)
    assert Watch.seen == ("latents", "face_embeds")


def test_callback_may_change_the_face(pipe, run, default):
    other = pipe.encode_face(example_reference(1))

    def swap(pipeline, step, timestep, values):
        return {"face_embeds": other}

    changed = [run(callback_on_step_end=swap, fast_path=f).frames for f in (True, False)]
    assert np.abs(changed[0] - default).max() > 1e-5
    assert np.allclose(changed[0], changed[1], atol=1e-5)


WORD = torch.zeros(1, 160, dtype=torch.bool)
WORD[0, 1] = True
REFUSED = [
    ({"height": 40}, "divide by 16"),
    ({"width": 0.5}, "width is 0.5"),
    ({"num_frames": 8}, "4N \\+ 1"),
    ({"num_inference_steps": 0}, "num_inference_steps"),
    ({"identity_scale": 2.0}, "identity_scale"),
    ({"identity_guidance": "none"}, "guidance mode"),
    ({"use_dynamic_cfg": "linear"}, "use_dynamic_cfg"),
    ({"prompt": "a cat on a mat"}, "identity_word"),
    ({"prompt": "a man img and a woman img"}, "one identity"),
    ({"prompt": " ".join(["young"] * 170) + " man img"}, "beyond token 160"),
    ({"prompt": None}, "either prompt or prompt_embeds"),
    ({"generator": [torch.Generator()] * 3}, "3 generators for 1"),
    ({"id_image": "face.png"}, "PIL image"),
    ({"id_image": Image.new("RGB", (64, 64))}, "No face"),
    ({"id_image": []}, "empty list"),
    ({"id_image": [[]]}, "empty list"),
    ({"prompt": ["a man img"] * 2, "negative_prompt": ["ugly"]}, "1 negative prompts for 2"),
    ({"negative_prompt": "ugly", "negative_prompt_embeds": torch.zeros(1, 160, 32)}, "Both negative_prompt"),
    ({"negative_prompt_embeds": torch.zeros(1, 150, 32)}, "negative_prompt_embeds has shape"),
    ({"latents": torch.zeros(1, 3, 16, 8, 4)}, "latents is"),
    ({"latents": torch.zeros(1, 2, 16, 4, 4)}, "latents is"),
    ({"latents": "noise"}, "latents is str"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 150, 32), "identity_mask": WORD[:, :150]}, "150 rows"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 160, 32), "identity_mask": WORD.long()}, "int64"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 160, 32), "identity_mask": WORD & False}, "names no token"),
    ({"timesteps": [999, 500]}, "does not take timesteps"),
    ({"output_type": "video"}, "output_type"),
    ({"face_embeds": (1, 2)}, "face_embeds is a tuple"),
    ({"guidance_scale": "6"}, "guidance_scale"),
    ({"identity_start_step": 99}, "identity_start_step"),
    ({"identity_start_step": -1}, "identity_start_step"),
    ({"num_videos_per_prompt": 1.5}, "num_videos_per_prompt"),
    ({"attention_kwargs": "scale"}, "attention_kwargs"),
    ({"generator": 3}, "not a torch.Generator"),
    ({"id_image": [Image.new("RGB", (64, 64))] * 2, "prompt": ["a man img"] * 2}, "views of one person"),
    ({"id_image": [[Image.new("RGB", (64, 64))]] * 3, "prompt": ["a man img"] * 2}, "3 people for 2"),
]


@pytest.mark.parametrize(("bad", "says"), REFUSED, ids=[next(iter(b)) + "-" + s[:12] for b, s in REFUSED])
def test_bad_requests_are_refused_before_any_network_runs(pipe, run, monkeypatch, bad, says):
    def never(*args, **kwargs):
        raise AssertionError("a network ran")

    for part in (pipe.text_encoder, pipe.transformer, pipe.face_encoder):
        monkeypatch.setattr(part, "forward", never)
    with pytest.raises((RequestError, ReferenceFaceError), match=says) as caught:
        run(**({"prompt": "a man img"} | bad))
    # what callers of diffusers' pipelines catch
    assert isinstance(caught.value, ValueError) or caught.type is ReferenceFaceError


def test_identity_word_argument(run):
    assert run("a robot is smiling", identity_word="robot").info.identity_words == ("robot",)


def test_steps_that_do_not_divide_the_schedule_are_warned_of(run, caplog):
    run(num_inference_steps=3)
    assert "do not divide 1000" in caplog.text


def test_default_pairing_of_scheduler_and_guidance(pipe, run):
    from diffusers import CogVideoXDDIMScheduler

    assert run().info.dynamic_guidance == "cogvideox"
    held, pipe.scheduler = pipe.scheduler, CogVideoXDDIMScheduler.from_config(pipe.scheduler.config)
    try:
        info = run().info
    finally:
        pipe.scheduler = held
    assert (info.dynamic_guidance, info.scheduler) == ("off", "CogVideoXDDIMScheduler")


def test_random_weights_are_called_random(caplog):
    fresh = build_pipeline("smoke", seed=1)
    out = fresh("a man img", id_image=example_reference(), num_inference_steps=1, output_type="latent")
    assert out.info.weights_note == "random"
    assert "Weights: random" in caplog.text


def test_same_seed_builds_the_same_model(pipe):
    again, other = build_pipeline("smoke", seed=0), build_pipeline("smoke", seed=7)
    for name in ("transformer", "face_encoder", "text_encoder"):
        states = [getattr(p, name).state_dict() for p in (pipe, again, other)]
        assert all(torch.equal(states[1][k], v) for k, v in states[0].items())
        assert any(not torch.equal(states[2][k], v) for k, v in states[0].items())


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(4)
    want = torch.rand(3)
    torch.manual_seed(4)
    build_pipeline("smoke")
    assert torch.equal(torch.rand(3), want)


def test_unknown_variant_is_named():
    with pytest.raises(RequestError, match="nano"):
        build_pipeline("huge")
    with pytest.raises(RequestError, match="random weights"):
        build_pipeline("5b")


def test_variants_without_fusion_need_no_identity_word(pipe, reference):
    from mmbench.model.network.variants import VARIANTS

    made = MagicMirrorPipeline.from_base(pipe, face_encoder=pipe.face_encoder, ablation=VARIANTS["D"])
    made.set_progress_bar_config(disable=True)
    made.face_analyser = pipe.face_analyser
    out = made("a cat img on a mat", id_image=reference, num_inference_steps=1, output_type="latent")
    assert out.info.identity_words == ()
    assert made.weights_note == "identity adapter untrained"


def test_missing_parts_say_what_to_get(pipe, reference, tmp_path):
    with pytest.raises(MissingWeights, match="no such folder"):
        MagicMirrorPipeline.from_base(tmp_path / "absent")
    with pytest.raises(MissingWeights, match="could not be loaded"):
        MagicMirrorPipeline.from_base(tmp_path)
    with pytest.raises(MissingWeights, match="photomaker"):
        MagicMirrorPipeline.from_base(pipe, adapter=tmp_path)
    bare = MagicMirrorPipeline(pipe.tokenizer, pipe.text_encoder, pipe.vae, pipe.transformer, pipe.scheduler)
    with pytest.raises(MissingWeights, match="no face encoder"):
        bare("a man img", id_image=reference)
