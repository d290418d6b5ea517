"""The transformer: the base when the identity is off, and each statement of its definition when it is on."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

from mmbench.errors import WeightsError
from mmbench.model.network.adapter import ConditionedAdaptiveNorm
from mmbench.model.network.joint_block import JointAttnProcessor
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.network.variants import VARIANTS

pytestmark = pytest.mark.filterwarnings("ignore")


def run(model, batch, **kwargs):
    with torch.no_grad():
        return model(**batch, **kwargs).sample


def near(ours, theirs):
    """Equal but for rounding: equal weights at other places in memory are summed in another order."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize("off", [{}, {"identity_scale": 0.0}])
def test_identity_off_is_the_stock_model_bit_for_bit(make_model, stock, batch, face, off):
    given = {"face": face, **off} if off else {}
    assert torch.equal(run(make_model(), batch, **given), run(stock, batch))


def test_identity_off_in_bfloat16(make_model, stock, batch):
    low = {k: v.bfloat16() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in batch.items()}
    assert torch.equal(run(make_model().bfloat16(), low), run(copy.deepcopy(stock).bfloat16(), low))


@pytest.mark.parametrize("part", ["conditioned_norm", "face_cross_attention"])
def test_zero_initialised_parts_start_as_the_stock_model(make_model, stock, batch, face, part):
    switches = dict.fromkeys(("face_tokens", "face_modulation", "face_cross_attention", "conditioned_norm"), False)
    model = make_model(random=False, **(switches | {part: True}))
    assert torch.equal(run(model, batch, face=face), run(stock, batch))


def test_face_rows_move_the_output_at_initialisation(make_model, stock, batch, face):
    """Face rows enter the softmax as new keys, so this part cannot start as a no-op."""
    base, full = run(stock, batch), run(make_model(random=False), batch, face=face)
    moved = (full - base).norm() / base.norm()
    assert 0 < moved < 0.05


def test_face_rows_on_the_encoder_side_equal_the_stock_processor(stock, batch):
    attn, rows, extra = stock.transformer_blocks[0].attn1, torch.randn(2, 48, 64), torch.randn(2, 12, 64)
    rotary = batch["image_rotary_emb"]
    with torch.no_grad():
        ours = JointAttnProcessor()(attn, rows, extra, image_rotary_emb=rotary)
        theirs = CogVideoXAttnProcessor2_0()(attn, rows, extra, image_rotary_emb=rotary)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def encoder_rows_of_blocks(model, batch, face):
    """[(encoder rows in, encoder rows out)] of every block in one forward pass."""
    seen = []

    def watch(_module, _args, kwargs, output):
        seen.append((kwargs["encoder_hidden_states"], output[1]))

    handles = [b.register_forward_hook(watch, with_kwargs=True) for b in model.transformer_blocks]
    run(model, batch, face=face)
    for handle in handles:
        handle.remove()
    return seen


def test_carried_face_rows_are_unchanged_over_an_odd_layer(make_model, batch, face):
    seen = encoder_rows_of_blocks(make_model(), batch, face)
    assert [rows_in.shape[1] for rows_in, _ in seen] == [12, 8, 12, 8]
    assert torch.equal(seen[0][1][:, 8:], seen[2][0][:, 8:])
    assert not torch.equal(seen[0][0][:, 8:], seen[0][1][:, 8:])


def test_reinjected_and_visible_face_rows(make_model, batch, face):
    seen = encoder_rows_of_blocks(make_model(face_rows="reinject"), batch, face)
    assert torch.equal(seen[0][0][:, 8:], seen[2][0][:, 8:])
    seen = encoder_rows_of_blocks(make_model(face_rows="visible"), batch, face)
    assert [rows_in.shape[1] for rows_in, _ in seen] == [12, 12, 12, 12]


def test_dropped_identity_ignores_the_face(make_model, batch, face):
    model, other = make_model(), torch.tensor([True, False])
    a = run(model, batch, face=face, identity_present=other)
    changed = type(face)(face.identity.clone(), face.tokens.clone())
    changed.identity[1] += 1
    changed.tokens[1] += 1
    b = run(model, batch, face=changed, identity_present=other)
    assert torch.equal(a, b)
    kept = run(model, batch, face=face)
    assert torch.allclose(a[0], kept[0], atol=1e-6)
    assert (a[1] - kept[1]).abs().max() > 1e-3


def test_identity_scale_is_continuous_and_monotone_near_zero(make_model, batch, face):
    model = make_model(face_tokens=False, face_modulation=False)
    base = run(model, batch)
    moves = [(run(model, batch, face=face, identity_scale=s) - base).norm().item() for s in (0.01, 0.1, 1.0)]
    assert moves[0] < moves[1] < moves[2]
    assert moves[0] < 0.05 * moves[2]


def test_can_first_linear_splits_into_time_and_identity():
    torch.manual_seed(0)
    can = ConditionedAdaptiveNorm(6, 5, 7, 11)
    torch.nn.init.normal_(can.linear_out.weight)
    p_id, temb, shift = torch.randn(3, 6), torch.randn(3, 5), torch.randn(3, 7)
    whole = can(p_id, temb, shift)
    split = can.head(can.time_part(temb, shift) + can.identity_part(p_id))
    assert whole.shape == (3, 12, 7)
    assert (whole - split).abs().max() < 1e-6


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_ablation_is_one_set_of_config_fields(make_model, batch, face, name, tmp_path):
    model = make_model(**VARIANTS[name].transformer_config())
    names = model.identity_parameter_names()
    for part, on in (
        (".can.", VARIANTS[name].conditioned_norm),
        (".phi_face.", VARIANTS[name].face_modulation),
        (".kv.", VARIANTS[name].face_cross_attention),
        ("null_face", VARIANTS[name].face_tokens),
    ):
        assert any(part in n for n in names) is on
    model.save_pretrained(tmp_path)
    again = MagicMirrorTransformer3DModel.from_pretrained(str(tmp_path)).eval()
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())
    near(run(again, batch, face=face), run(model, batch, face=face))


def test_variants_have_the_papers_ticks():
    ticks = {"A": 1, "B": 1, "C": 2, "D": 2, "E": 2, "F": 3, "G": 4, "Full": 5, "no-CAN": 4}
    for name, variant in VARIANTS.items():
        columns = (
            variant.identity_fusion,
            variant.face_tokens,
            variant.face_modulation,
            variant.conditioned_norm,
            variant.image_pretraining,
        )
        assert sum(columns) == ticks[name]
        assert variant.face_cross_attention == variant.face_tokens


def test_modulation_without_face_rows_is_refused(make_model):
    with pytest.raises(ValueError, match="face_tokens"):
        make_model(face_tokens=False)


def test_base_checkpoint_loads_with_new_parameters_initialised(stock, batch, tmp_path):
    stock.save_pretrained(tmp_path)
    model = MagicMirrorTransformer3DModel.from_pretrained(str(tmp_path)).eval()
    assert not any(p.is_meta for p in model.parameters())
    near(run(model, batch), run(stock, batch))
    adapter, attention = model.adapters["2"].kv, model.transformer_blocks[2].attn1
    assert torch.equal(adapter.to_k.weight, attention.to_k.weight)
    assert not adapter.to_v.weight.any()
    assert model.adapters["0"].can.linear_in.weight.any()


def test_incomplete_checkpoints_are_refused(make_model, tmp_path):
    from safetensors.torch import load_file, save_file

    make_model().save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    for missing in ("adapters.0.can.linear_in.weight", "proj_out.weight"):
        save_file({k: v for k, v in state.items() if k != missing}, file)
        with pytest.raises(WeightsError, match="missing"):
            MagicMirrorTransformer3DModel.from_pretrained(str(tmp_path))


def test_fused_qkv_keeps_the_identity(make_model, batch, face):
    model = make_model()
    want = run(model, batch, face=face)
    model.fuse_qkv_projections()
    assert torch.allclose(run(model, batch, face=face), want, atol=1e-5)
    model.unfuse_qkv_projections()
    assert torch.equal(run(model, batch, face=face), want)


def test_offloaded_weights_give_the_same_result(make_model, batch, face):
    from accelerate import cpu_offload

    model = make_model()
    want = run(model, batch, face=face)
    cpu_offload(model, torch.device("cpu"))
    assert model.proj_out.weight.is_meta
    near(run(model, batch, face=face), want)


def gradients(model, batch, face, **kwargs):
    model.zero_grad()
    model(**batch, face=face, **kwargs).sample.square().mean().backward()
    return {n: p.grad is not None and bool(p.grad.any()) for n, p in model.named_parameters()}


def test_gradients_at_step_0_and_step_1(make_model, batch, face):
    """Zero-initialised last Linears learn first; what feeds them follows one step later."""
    model = make_model(random=False).requires_grad_(False)
    ours = [p for n, p in model.named_parameters() if n in set(model.identity_parameter_names())]
    for parameter in ours:
        parameter.requires_grad_(True)
    first = gradients(model, batch, face)
    waits = ("id_proj.", "can.linear_in", "kv.to_k", "kv.norm_k", "phi_face.linear_in", "null_face")
    for name in model.identity_parameter_names():
        assert first[name] is not any(w in name for w in waits), name
    torch.optim.SGD(ours, lr=1.0).step()
    second = gradients(model, batch, face)
    assert [n for n in model.identity_parameter_names() if not second[n]] == ["null_face"]
    half = gradients(model, batch, face, identity_present=torch.tensor([True, False]))
    assert all(half[n] for n in model.identity_parameter_names())


def test_every_parameter_has_a_gradient_tensor_when_all_identities_are_dropped(make_model, batch, face):
    """Distributed training needs that dropping works by multiplication, not by skipping modules."""
    model = make_model()
    model(**batch, face=face, identity_present=torch.tensor([False, False])).sample.mean().backward()
    assert all(model.get_parameter(n).grad is not None for n in model.identity_parameter_names())


def test_frozen_base_is_unchanged_after_ten_steps(make_model, stock, batch, face):
    model = make_model(random=False)
    names = set(model.identity_parameter_names())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    target, losses = torch.randn(2, 3, 8, 8, 8), []
    for _ in range(10):
        optimiser.zero_grad()
        loss = (model(**batch, face=face).sample - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(model.get_parameter(n), p) for n, p in stock.named_parameters())


def test_gradient_checkpointing_changes_no_gradient(make_model, batch, face):
    model = make_model().requires_grad_(True)
    model(**batch, face=face).sample.square().mean().backward()
    want = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.enable_gradient_checkpointing()
    model.train()
    model(**batch, face=face).sample.square().mean().backward()
    got = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert want.keys() == got.keys()
    assert all(torch.allclose(want[n], got[n], atol=1e-6) for n in want)
