"""The pipeline in other surroundings: offloaded, in bfloat16, with CogVideoX's own VAE, with caches and
LoRA-like layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmbench.errors import RequestError
from mmbench.model.small.nano import build_pipeline, example_reference


@pytest.fixture
def own():
    """A pipeline of this test's own, equal to the shared one."""
    return build_pipeline("smoke", seed=0)


def test_model_offload_changes_nothing(own, run):
    """What `enable_model_cpu_offload` does, with the CPU in the accelerator's place."""
    from accelerate import cpu_offload_with_hook

    want = run(pipeline=own).frames
    hook = None
    for name in ("face_encoder", "text_encoder", "transformer"):
        _, hook = cpu_offload_with_hook(getattr(own, name), "cpu", hook)
    out = run(pipeline=own)
    assert out.info.direct_path is None
    assert np.array_equal(out.frames, want)
    assert np.array_equal(run(pipeline=own, release_modulation=True).frames, want)


def test_fusing_brings_the_face_encoder_back(own, run):
    """Model offload keeps one model on the accelerator: the text encoder takes the face encoder's place before the
    identity is fused into the text. Residency is traced, since a processor is never offloaded from."""
    from accelerate.hooks import ModelHook, add_hook_to_module

    class Residency(ModelHook):
        def __init__(self, previous):
            self.previous = previous

        def pre_forward(self, module, *args, **kwargs):
            if self.previous is not None:
                self.previous.resident = False
            module.resident = True
            return args, kwargs

    previous, seen = None, []
    for name in own.model_cpu_offload_seq.split("->")[:3]:
        module = getattr(own, name)
        add_hook_to_module(module, Residency(previous))
        previous = module
    own.face_encoder.fusion.register_forward_pre_hook(lambda *_: seen.append(own.face_encoder.resident))
    run(pipeline=own)
    face = own.encode_face(np.asarray(example_reference()))
    own.face_encoder.resident = False
    run(pipeline=own, face_embeds=face)
    assert seen == [True, True]


def test_group_offload_of_the_face_encoder(own, run):
    from diffusers.hooks import apply_group_offloading

    want = run(pipeline=own).frames
    cpu = torch.device("cpu")
    for kind in ("block_level", "leaf_level"):
        fresh = build_pipeline("smoke", seed=0)
        apply_group_offloading(fresh.face_encoder, cpu, cpu, kind, num_blocks_per_group=1)
        assert np.allclose(run(pipeline=fresh).frames, want, atol=1e-5)


def test_offload_hooks_follow_the_adapter(own, run, tmp_path):
    """Loading and unloading an adapter makes another transformer: offloading goes on with that one."""
    own.enable_model_cpu_offload(device="cpu")
    own.save_identity_adapter(tmp_path)
    for change in (own.unload_identity_adapter, lambda: own.load_identity_adapter(tmp_path)):
        before = own.transformer
        change()
        assert own.transformer is not before
        assert hasattr(own.transformer, "_hf_hook")
        held = [hook.model for hook in own._all_hooks]
        assert any(model is own.transformer for model in held)
        assert not any(model is before for model in held)
    run(pipeline=own)
    assert own.tables.schedule is None  # offloading also frees the tables


def test_compiled_transformers_serve(own, run):
    """The form of diffusers' documentation, `pipe.transformer = torch.compile(pipe.transformer)`."""
    want = run(pipeline=own, fast_path=False).frames
    own.transformer = torch.compile(own.transformer, backend="eager")
    out = run(pipeline=own)
    assert out.info.direct_path == "the transformer is compiled"
    assert np.allclose(out.frames, want, atol=1e-5)


def test_from_pipe_takes_a_cogvideox_pipeline(own, run):
    from diffusers import CogVideoXPipeline

    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

    want = run(pipeline=own).frames
    again = MagicMirrorPipeline.from_pipe(own)
    again.face_analyser = own.face_analyser
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(run(pipeline=again).frames, want)
    types = MagicMirrorPipeline._get_signature_types()
    stock = CogVideoXPipeline._get_signature_types()
    assert set(types["vae"]) >= set(stock["vae"])
    assert set(types["transformer"]) >= set(stock["transformer"])


def test_a_base_that_joins_frames_runs(own, run):
    """CogVideoX 1.5 puts latent frames before the clip until they come in pairs, and cuts them off again."""
    from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel

    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

    config = dict(own.transformer.config)
    names = CogVideoXTransformer3DModel._get_init_keys(CogVideoXTransformer3DModel)
    fields = {k: v for k, v in config.items() if k in names} | {"patch_size_t": 2, "patch_bias": False}
    torch.manual_seed(0)
    base = CogVideoXTransformer3DModel(**fields).eval()
    stock = CogVideoXPipeline(own.tokenizer, own.text_encoder, own.vae, base, own.scheduler)
    made = MagicMirrorPipeline.from_base(stock, face_encoder=own.face_encoder)
    made.face_analyser = own.face_analyser
    made.set_progress_bar_config(disable=True)
    stock.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 2, "num_frames": 9, "max_sequence_length": 160, "use_dynamic_cfg": False}
    generator = torch.Generator().manual_seed(0)
    want = stock("a man is smiling", **settings, output_type="np", generator=generator).frames
    base_out = run("a man is smiling", pipeline=made, id_image=None, **settings).frames
    assert want.shape == (1, 9, 32, 32, 3)
    assert np.array_equal(base_out, want)
    mirrored = run("a man img is smiling", pipeline=made, **settings)
    assert "1.5" in mirrored.info.direct_path
    assert mirrored.frames.shape == want.shape
    assert 0 < np.abs(mirrored.frames - want).mean() < 0.1


def test_sequential_offload_takes_the_direct_path(own, run):
    from accelerate import cpu_offload

    want = run(pipeline=own, fast_path=False).frames
    for name in ("face_encoder", "text_encoder", "transformer", "vae"):
        cpu_offload(getattr(own, name), torch.device("cpu"))
    out = run(pipeline=own)
    assert "hook" in out.info.direct_path
    assert np.allclose(out.frames, want, atol=1e-5)  # weights are copied for each layer: sums may round otherwise


def test_bfloat16_runs_and_stays_near_float32(own, run):
    want = run(pipeline=own, guidance_scale=1.0).frames
    own.to(torch.bfloat16)
    for fast in (True, False):
        frames = run(pipeline=own, guidance_scale=1.0, fast_path=fast).frames
        assert np.isfinite(frames).all()
        # the first noise is drawn in bfloat16: only the look of the whole can agree
        assert abs(frames.mean() - want.mean()) < 0.05


def test_cogvideox_vae_decodes_with_and_without_tiling(own, run):
    from diffusers import AutoencoderKLCogVideoX

    torch.manual_seed(0)
    own.vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=16,
        layers_per_block=1,
        norm_num_groups=2,
        scaling_factor=0.7,
    ).eval()
    own.vae_scaling_factor_image = 0.7
    frames = run(pipeline=own).frames
    assert frames.shape == (1, 9, 32, 32, 3)
    own.vae.enable_tiling()
    own.vae.enable_slicing()
    assert run(pipeline=own).frames.shape == frames.shape
    assert run(pipeline=own, num_frames=1).frames.shape == (1, 1, 32, 32, 3)


def test_attention_backend_is_passed_on(own, run, monkeypatch):
    """Both paths go through diffusers' dispatch, with the layer's own backend."""
    from mmbench.model.fast import forward as fast
    from mmbench.model.network import joint_block

    want, seen = run(pipeline=own).frames, set()
    for module in (fast, joint_block):
        real = module.dispatch_attention_fn

        def watch(*args, backend=None, real=real, name=module.__name__, **kwargs):
            seen.add((name.rpartition(".")[2], backend))
            return real(*args, backend=backend, **kwargs)

        monkeypatch.setattr(module, "dispatch_attention_fn", watch)
    for block in own.transformer.transformer_blocks:
        block.attn1.processor._attention_backend = "_native_math"
    for use_tables in (True, False):
        assert np.allclose(run(pipeline=own, fast_path=use_tables).frames, want, atol=1e-5)
    masked = run(pipeline=own, identity_scale=0.5).frames  # its joint attention has a mask, which flash kernels refuse
    assert np.isfinite(masked).all()
    assert ("forward", "native") in seen
    seen.discard(("forward", "native"))
    assert seen == {("forward", "_native_math"), ("joint_block", "_native_math")}


def test_a_wrapped_norm_layer_is_seen_by_the_tables(own, run):
    """LoRA wraps Linears: the tables call modules, so they include it, and are not kept from before."""
    run(pipeline=own)

    class Wrapped(torch.nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base, self.scaling = base, {"default": 0.5}

        def forward(self, x):
            return self.base(x) * (1 + self.scaling["default"])

    norm = own.transformer.transformer_blocks[0].norm1
    norm.linear = Wrapped(norm.linear)
    for scaling in (0.5, 0.1):
        norm.linear.scaling["default"] = scaling
        fast, direct = (run(pipeline=own, fast_path=f).frames for f in (True, False))
        assert np.abs(fast - direct).max() < 1e-5


def test_block_caches_serve_the_base_and_are_refused_with_carried_face_rows(own, run):
    from diffusers import FirstBlockCacheConfig

    base = run(id_image=None).frames
    own.transformer.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    # a pipeline of its own, with equal weights at other places in memory: sums may round otherwise
    assert np.allclose(run(pipeline=own, id_image=None).frames, base, atol=1e-5)
    with pytest.raises(RequestError, match="visible"):
        run(pipeline=own)
    own.transformer.disable_cache()
    assert run(pipeline=own).info.direct_path is None


def test_block_caches_serve_visible_face_rows(own, run):
    from diffusers import FirstBlockCacheConfig

    plain = build_pipeline("smoke", seed=0)
    for pipeline in (own, plain):
        pipeline.transformer.register_to_config(face_rows="visible")
    want = run(pipeline=plain, fast_path=False).frames
    own.transformer.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    out = run(pipeline=own)
    assert "hook" in out.info.direct_path
    assert np.allclose(out.frames, want, atol=1e-5)
