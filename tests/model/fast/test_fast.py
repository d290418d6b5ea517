"""The tabulated path against the direct path."""

from __future__ import annotations

import pytest
import torch

from mmbench.model.fast.forward import FastPlan, fast_path_blocker, modulation_released, tabulated_modules
from mmbench.model.fast.tables import tabulate_schedule, tabulate_video
from mmbench.model.network.identity import project_identity
from mmbench.model.network.variants import VARIANTS

TIMES = (999, 500, 20)


def both(model, batch, face, **identity):
    """(direct, tabulated) prediction at timestep 500."""
    with torch.no_grad():
        assert fast_path_blocker(model) is None
        schedule = tabulate_schedule(model, TIMES)
        video = tabulate_video(
            model, schedule, face, identity.get("identity_scale", 1.0), identity.get("identity_present")
        )
        tabulated = model(**batch, plan=FastPlan(schedule, video), step=1).sample
        return model(**batch, face=face, **identity).sample, tabulated


@pytest.mark.parametrize("name", list(VARIANTS))
def test_tables_equal_the_direct_path_in_every_variant(make_model, batch, face, name):
    direct, tabulated = both(make_model(**VARIANTS[name].transformer_config()), batch, face)
    assert (direct - tabulated).abs().max() <= 1e-6 * direct.abs().max()


@pytest.mark.parametrize("rows", ["carry", "reinject", "visible"])
@pytest.mark.parametrize("present", [None, (True, False), (False, False)])
def test_tables_equal_the_direct_path_with_scale_and_dropped_identities(make_model, batch, face, rows, present):
    kept = None if present is None else torch.tensor(present)
    direct, tabulated = both(make_model(face_rows=rows), batch, face, identity_scale=0.7, identity_present=kept)
    assert (direct - tabulated).abs().max() <= 1e-6 * direct.abs().max()


def test_optimised_base_equals_the_stock_model(make_model, stock, batch):
    model = make_model()
    with torch.no_grad():
        plan = FastPlan(tabulate_schedule(model, TIMES))
        tabulated, direct = model(**batch, plan=plan, step=1).sample, stock(**batch).sample
    assert (direct - tabulated).abs().max() <= 1e-6 * direct.abs().max()


def test_bases_with_sinusoidal_positions_work_too(batch, face):
    """CogVideoX-2B has no rotary embedding."""
    from diffusers import CogVideoXTransformer3DModel

    from mmbench.model.network.transformer import ADAPTER_PREFIXES, MagicMirrorTransformer3DModel

    torch.manual_seed(0)
    sizes = {"num_attention_heads": 4, "attention_head_dim": 16, "in_channels": 8, "out_channels": 8, "num_layers": 2}
    sizes |= {"time_embed_dim": 32, "text_embed_dim": 32, "sample_width": 8, "sample_height": 8, "sample_frames": 9}
    base = CogVideoXTransformer3DModel(**sizes, max_text_seq_length=8).eval()
    identity = {"face_dim": 24, "num_face_tokens": 4, "id_proj_dim": 16, "can_hidden_dim": 16}
    model = MagicMirrorTransformer3DModel.from_transformer(base, **identity).eval()
    for name, parameter in model.named_parameters():
        if name.startswith(ADAPTER_PREFIXES):
            torch.nn.init.normal_(parameter, std=0.1)
    inputs = batch | {"image_rotary_emb": None}
    with torch.no_grad():
        assert torch.equal(model(**inputs).sample, base(**inputs).sample)
    direct, tabulated = both(model, inputs, face)
    assert (direct - tabulated).abs().max() <= 1e-6 * direct.abs().max()


def test_cached_keys_and_values_equal_those_of_the_adapter(make_model, face):
    model = make_model()
    with torch.no_grad():
        video = tabulate_video(model, tabulate_schedule(model, TIMES), face)
        rows = project_identity(model, face).face
        for layer, cached in video.key_value.items():
            fresh = model.adapters[str(layer)].kv(rows)
            assert all(torch.equal(a, b) for a, b in zip(cached, fresh, strict=True))


def test_copies_of_a_batch_share_one_identity(make_model, batch, face):
    """Guidance stacks the batch twice; the table of two copies equals the table of a doubled batch."""
    model = make_model()
    twice = {k: torch.cat([v, v]) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    with torch.no_grad():
        schedule = tabulate_schedule(model, TIMES)
        copied = model(**twice, plan=FastPlan(schedule, tabulate_video(model, schedule, face, copies=2)), step=1)
        doubled = model(**twice, face=face.copies(2))
    assert torch.allclose(copied.sample, doubled.sample, atol=1e-6)


def test_a_loop_with_tables_reads_none_of_the_released_weights(make_model, batch, face):
    model = make_model()
    with torch.no_grad():
        schedule = tabulate_schedule(model, TIMES)
        plan = FastPlan(schedule, tabulate_video(model, schedule, face))
        want = model(**batch, plan=plan, step=1).sample
        with modulation_released(model):
            for module in tabulated_modules(model):
                for parameter in module.parameters():
                    parameter.fill_(float("nan"))
            assert torch.equal(model(**batch, plan=plan, step=1).sample, want)


def test_what_forbids_the_tables_is_named(make_model):
    model = make_model()
    assert fast_path_blocker(model) == "gradients are on"
    with torch.no_grad():
        handle = model.transformer_blocks[1].register_forward_hook(lambda *_: None)
        assert "transformer_blocks.1" in fast_path_blocker(model)
        handle.remove()
        model.fuse_qkv_projections()
        assert fast_path_blocker(model) == "fused QKV projections"
        model.unfuse_qkv_projections()
        from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

        model.set_attn_processor(CogVideoXAttnProcessor2_0())
        assert "attention processor" in fast_path_blocker(model)


@pytest.mark.gpu
def test_kernels_on_a_gpu_equal_the_direct_path_in_float32(make_model, batch, face):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.backends.cuda.matmul.allow_tf32 = False
    model = make_model().cuda()
    moved = {k: v.cuda() if isinstance(v, torch.Tensor) else tuple(x.cuda() for x in v) for k, v in batch.items()}
    direct, tabulated = both(model, moved, face.to("cuda"))
    assert (direct - tabulated).abs().max() <= 1e-5 * direct.abs().max()


@pytest.mark.slow
def test_tables_equal_the_direct_path_at_full_width():
    """Two layers of the full-size model (0.3 B parameters), short sequence: float32, and bfloat16 against
    it."""
    from mmbench.model.cost.steps import DIRECT, MIRROR, StepBench
    from mmbench.model.network.configs import ModelSize

    size = ModelSize("two layers", 64, 96, 5, 2, {"num_layers": 2})
    bench = StepBench(size, torch.device("cpu"), torch.float32, num_steps=2)
    bench.add_identity(None)
    with torch.no_grad():
        want, fast = bench.predict(DIRECT, 1), bench.predict(MIRROR, 1)
        assert (want - fast).norm() <= 1e-6 * want.norm()
        bench.model.bfloat16()
        bench.latents, bench.text, bench.face = (
            bench.latents.bfloat16(),
            bench.text.bfloat16(),
            bench.face.to(dtype=torch.bfloat16),
        )
        bench.fill_tables()
        errors = [(bench.predict(row, 1).float() - want).norm() / want.norm() for row in (DIRECT, MIRROR)]
    assert errors[0] < 0.02
    assert errors[1] < 1.2 * errors[0]
