"""Identity adapters: only what is trained is written; save, unload and load give the same frames."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mmbench.errors import MissingWeights, RequestError, WeightsError
from mmbench.model.network.variants import VARIANTS
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


def test_changed_weights_are_seen_by_the_tables(own, run):
    run(pipeline=own)
    own.transformer.adapters["0"].can.linear_out.weight.data.mul_(3.0)
    own.transformer.adapters["0"].can.linear_out.bias.detach().add_(0.1)
    fast, direct = (run(pipeline=own, fast_path=f).frames for f in (True, False))
    assert np.abs(fast - direct).max() < 1e-5


def test_adapters_that_do_not_fit_are_refused(own, tmp_path):
    path = own.save_identity_adapter(tmp_path)
    partial = MagicMirrorPipeline.from_base(
        build_pipeline("smoke"), face_encoder=own.face_encoder, variant=VARIANTS["C"]
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
    from safetensors import safe_open

    path = own.save_identity_adapter(tmp_path)
    with safe_open(path, framework="pt") as opened:
        header = opened.metadata()
    state = load_file(path)
    state.pop("transformer.null_face")
    save_file(state, path, header)
    with pytest.raises(WeightsError, match="null_face"):
        own.load_identity_adapter(tmp_path)
