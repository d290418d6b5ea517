"""Identity adapters: only what is trained is written; save, unload and load give the same frames."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmbench.errors import MissingWeights, RequestError, WeightsError
from mmbench.model.network.configs import size_named
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.trained import trained_parameters
from mmbench.model.network.variants import VARIANTS
from mmbench.model.pipeline.adapter_file import TrainingFacts, read_adapter
from mmbench.model.pipeline.loading import _new_face_encoder
from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline
from mmbench.model.small.nano import build_pipeline

ROUNDING = 1e-5  # of frames in 0..1: a file's weights lie elsewhere in memory, and sums round otherwise


@pytest.fixture
def own(tmp_path):
    """A pipeline of this test's own."""
    return build_pipeline("smoke", seed=2)


def test_file_holds_only_trained_parameters(own, tmp_path):
    path = own.save_identity_adapter(tmp_path / "adapter")
    keys = set(load_file(path))
    assert keys == {f"transformer.{n}" for n in own.transformer.identity_parameter_names()} | {
        f"face_encoder.{n}" for n in own.face_encoder.trained_parameter_names()
    }
    tops = {key.split(".")[1] for key in keys}
    assert tops == {"face_proj", "id_proj", "adapters", "null_face", "tau_face", "fusion"}


def test_save_unload_load(own, run, tmp_path):
    want = run(pipeline=own).frames
    own.save_identity_adapter(tmp_path)
    own.unload_identity_adapter()
    with pytest.raises(RequestError, match="load_identity_adapter"):
        run(pipeline=own)
    base = run(pipeline=own, id_image=None).frames
    own.load_identity_adapter(tmp_path)
    assert np.abs(run(pipeline=own).frames - want).max() < ROUNDING
    assert np.abs(run(pipeline=own, id_image=None).frames - base).max() < ROUNDING


def test_from_base_with_an_adapter(own, run, tmp_path):
    want = run(pipeline=own).frames
    own.save_identity_adapter(tmp_path)
    analyser = own.face_analyser
    own.unload_identity_adapter()
    made = MagicMirrorPipeline.from_base(own, adapter=tmp_path, face_encoder=own.face_encoder)
    made.face_analyser = analyser
    made.set_progress_bar_config(disable=True)
    assert made.weights_note is None
    assert type(made.scheduler).__name__ == "CogVideoXDPMScheduler"
    assert np.abs(run(pipeline=made).frames - want).max() < ROUNDING


def test_other_adapter_replaces_the_tables(own, run, tmp_path):
    """The tables of the fast path may not outlive the weights that they were made from."""
    first = run(pipeline=own).frames
    other = build_pipeline("smoke", seed=3)
    other.save_identity_adapter(tmp_path)
    own.load_identity_adapter(tmp_path)
    fast, direct = (run(pipeline=own, fast_path=f).frames for f in (True, False))
    assert np.abs(fast - first).max() > 1e-4
    assert np.abs(fast - direct).max() < 1e-5


def by_hand(parameters):
    for parameter in parameters:
        parameter.data.mul_(1.5)


def by_fused_adamw(parameters):
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW(parameters, lr=0.05, fused=True).step()


def by_averaged_copy(parameters):
    from diffusers.training_utils import EMAModel

    average = EMAModel([torch.nn.Parameter(p.detach() + 0.05) for p in parameters])
    average.copy_to(parameters)


def by_optimiser(parameters):
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(parameters, lr=0.05).step()


@pytest.mark.parametrize("change", [by_hand, by_fused_adamw, by_averaged_copy, by_optimiser])
def test_changed_weights_are_seen_by_the_tables(own, run, change):
    """Fused optimisers and averaged copies do not count a tensor's versions up."""
    before = run(pipeline=own).frames
    change([p for n, p in own.transformer.named_parameters() if "adapters.0." in n])
    fast, direct = (run(pipeline=own, fast_path=f).frames for f in (True, False))
    assert np.abs(fast - direct).max() < 1e-5
    assert np.abs(fast - before).max() > 1e-4


def test_embeddings_edited_in_place_are_seen_by_the_tables(own, run, reference):
    face = own.encode_face(reference)
    before = run(pipeline=own, face_embeds=face).frames
    face.tokens.mul_(-2.0)
    fast, direct = (run(pipeline=own, face_embeds=face, fast_path=f).frames for f in (True, False))
    assert np.abs(fast - direct).max() < 1e-5
    assert np.abs(fast - before).max() > 1e-5


def test_the_file_describes_its_face_encoder_and_training(own, tmp_path):
    facts = TrainingFacts("Full", "image", 30000, "THUDM/CogVideoX-5b", "8d6ea3f", {"seed": 1})
    path = own.save_identity_adapter(tmp_path, training=facts)
    held = read_adapter(path)
    assert held.training == facts
    assert held.encoder_config == {k: v for k, v in own.face_encoder.config.items() if not k.startswith("_")}
    assert held.version


def test_release_and_master_weights(own, tmp_path):
    path = own.save_identity_adapter(tmp_path, dtype=torch.bfloat16)
    assert {t.dtype for t in load_file(path).values()} == {torch.bfloat16}
    own.to(torch.bfloat16)
    trained_parameters(own.transformer, own.face_encoder)["transformer.null_face"].data = torch.ones(1, 4, 64)
    kinds = {n: t.dtype for n, t in load_file(own.save_identity_adapter(tmp_path)).items()}
    assert kinds["transformer.null_face"] == torch.float32
    assert kinds["face_encoder.tau_face.queries"] == torch.bfloat16


@pytest.mark.parametrize("field", ["tau_face_depth", "head_dim", "crop_margin"])
def test_an_adapter_of_another_face_encoder(own, run, tmp_path, field):
    """The depth shows in the keys, the heads' width and the crop do not: the file's header has all of them."""
    fields = dict(size_named("smoke").face_encoder) | {"tau_face_depth": 2, "head_dim": 8, "crop_margin": 2.0}
    config = dict(size_named("smoke").face_encoder) | {field: fields[field]}
    torch.manual_seed(1)
    own.face_encoder = MagicMirrorFaceEncoder(**config).eval()
    own.save_identity_adapter(tmp_path)
    with pytest.raises(WeightsError, match=field):
        build_pipeline("smoke").load_identity_adapter(tmp_path)
    made = _new_face_encoder(32, read_adapter(tmp_path), VARIANTS["Full"])
    assert made.config[field] == fields[field]


def test_format_1_is_read_with_a_warning(own, run, tmp_path, caplog):
    want = run(pipeline=own).frames
    path = own.save_identity_adapter(tmp_path)
    with safe_open(path, framework="pt") as opened:
        config = json.loads(opened.metadata()["config"])
    del config["ca_source"]
    save_file(load_file(path), path, {"format": "magic-mirror-adapter-1", "config": json.dumps(config)})
    own.unload_identity_adapter()
    own.load_identity_adapter(tmp_path)
    assert "format 1" in caplog.text
    assert np.array_equal(run(pipeline=own).frames, want)


def test_wrapped_and_quantised_models(own, tmp_path):
    plain = load_file(own.save_identity_adapter(tmp_path / "a"))
    inner = own.transformer
    own.transformer = torch.compile(inner, backend="eager")
    wrapped = load_file(own.save_identity_adapter(tmp_path / "b"))
    assert plain.keys() == wrapped.keys()
    own.transformer = inner
    linear = inner.adapters["0"].kv.to_k
    linear.weight = torch.nn.Parameter(linear.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(RequestError, match="quantised"):
        own.save_identity_adapter(tmp_path / "c")


def test_nothing_is_written_before_everything_is_checked(own, tmp_path):
    other = build_pipeline("smoke", seed=5)
    path = other.save_identity_adapter(tmp_path)
    with safe_open(path, framework="pt") as opened:
        header = opened.metadata()
    state = load_file(path)
    state["transformer.null_face"] = torch.zeros(1, 9, 64)
    save_file(state, path, header)
    before = own.transformer.adapters["0"].kv.to_k.weight.clone()
    with pytest.raises(WeightsError, match="null_face"):
        own.load_identity_adapter(tmp_path)
    assert torch.equal(own.transformer.adapters["0"].kv.to_k.weight, before)


def test_damaged_files_are_refused(own, tmp_path):
    path = own.save_identity_adapter(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="safetensors"):
        own.load_identity_adapter(tmp_path)
    with pytest.raises(RequestError, match="nickname"):
        own.load_identity_adapter(tmp_path, nickname="x")


@pytest.mark.parametrize("name", ["A", "B", "D", "E"])
def test_adapters_of_every_variant_come_back(own, run, tmp_path, name):
    made = MagicMirrorPipeline.from_base(own, face_encoder=own.face_encoder, ablation=VARIANTS[name])
    made.face_analyser = own.face_analyser
    made.set_progress_bar_config(disable=True)
    want = run(pipeline=made).frames
    keys = set(load_file(made.save_identity_adapter(tmp_path)))
    assert any(".fusion." in key for key in keys) is VARIANTS[name].identity_fusion
    assert any(".tau_face." in key for key in keys) is VARIANTS[name].face_tokens
    encoder = _new_face_encoder(32, read_adapter(tmp_path), VARIANTS[name])
    assert (encoder.fusion is None) is False  # as saved: the encoder had every part
    again = MagicMirrorPipeline.from_base(own, adapter=tmp_path, face_encoder=own.face_encoder)
    again.face_analyser = own.face_analyser
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(run(pipeline=again).frames, want)


def test_adapters_that_do_not_fit_are_refused(own, tmp_path):
    path = own.save_identity_adapter(tmp_path)
    partial = MagicMirrorPipeline.from_base(
        build_pipeline("smoke"), face_encoder=own.face_encoder, ablation=VARIANTS["C"]
    )
    with pytest.raises(WeightsError, match="face_modulation"):
        partial.load_identity_adapter(path)
    state = load_file(path)
    save_file(state, path)  # no header
    with pytest.raises(WeightsError, match="not a Magic Mirror adapter"):
        own.load_identity_adapter(path)
    with pytest.raises(MissingWeights, match=r"magic_mirror\.safetensors"):
        own.load_identity_adapter(tmp_path / "nowhere")


def test_incomplete_adapter_is_refused(own, tmp_path):
    path = own.save_identity_adapter(tmp_path)
    with safe_open(path, framework="pt") as opened:
        header = opened.metadata()
    state = load_file(path)
    state.pop("transformer.null_face")
    save_file(state, path, header)
    with pytest.raises(WeightsError, match="null_face"):
        own.load_identity_adapter(tmp_path)
