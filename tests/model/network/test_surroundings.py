"""The transformer around other bases and under other tools: 1.5, LoRA, quantised layers, compilers, processors."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

from mmbench.errors import RequestError
from mmbench.model.fast.forward import fast_path_blocker
from mmbench.model.network.takeover import to_base
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel

pytestmark = pytest.mark.filterwarnings("ignore")
IDENTITY = {"face_dim": 24, "num_face_tokens": 4, "id_proj_dim": 16, "can_hidden_dim": 16}


def run(model, batch, **kwargs):
    with torch.no_grad():
        return model(**batch, **kwargs).sample


@pytest.fixture(scope="module")
def joined(batch):
    """A base of CogVideoX 1.5's kind (two latent frames a token), and inputs with an even number of frames."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    sizes = {"num_attention_heads": 4, "attention_head_dim": 16, "in_channels": 8, "out_channels": 8, "num_layers": 2}
    sizes |= {"time_embed_dim": 32, "text_embed_dim": 32, "sample_width": 8, "sample_height": 8, "sample_frames": 13}
    torch.manual_seed(0)
    base = CogVideoXTransformer3DModel(
        **sizes, max_text_seq_length=8, patch_size_t=2, patch_bias=False, use_rotary_positional_embeddings=True
    ).eval()
    rotary = get_3d_rotary_pos_embed(16, None, (4, 4), 2, grid_type="slice", max_size=(4, 4))
    given = batch | {"hidden_states": torch.randn(2, 4, 8, 8, 8), "image_rotary_emb": rotary}
    return base, given


def test_bases_that_join_frames_start_as_themselves(joined, face):
    """CogVideoX 1.5: the rows are unpatched in its order, so an untrained adapter is near the base."""
    base, given = joined
    want = run(base, given)
    model = MagicMirrorTransformer3DModel.from_transformer(base, **IDENTITY).eval()
    assert torch.equal(run(model, given), want)
    moved = (run(model, given, face=face) - want).norm() / want.norm()
    assert 0 < moved < 0.05
    with torch.no_grad():
        assert "1.5" in fast_path_blocker(model)


def lora(model, scale=0.5):
    from peft import LoraConfig

    torch.manual_seed(4)
    model.add_adapter(
        LoraConfig(r=2, lora_alpha=scale * 2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False)
    )
    return model


def test_lora_before_the_adapter(stock, batch, face):
    """The model is built around the base's modules, so a LoRA that is on them stays."""
    pytest.importorskip("peft")
    base = lora(copy.deepcopy(stock))
    want = run(base, batch)
    model = MagicMirrorTransformer3DModel.from_transformer(base, **IDENTITY).eval()
    assert not any(p.is_meta for p in model.parameters())
    assert torch.equal(run(model, batch), want)
    assert torch.equal(model.adapters["2"].kv.to_k.weight, stock.transformer_blocks[2].attn1.to_k.weight)
    with_lora = run(model, batch, face=face)
    model.disable_adapters()
    assert torch.equal(run(model, batch), run(stock, batch))
    assert (run(model, batch, face=face) - with_lora).abs().max() > 1e-5
    model.enable_adapters()
    back = to_base(model)
    assert torch.equal(run(back, batch), want)


class Rounded(torch.nn.Module):
    """A layer as quantisers make them: no plain weight, only what it does to rows."""

    def __init__(self, linear):
        super().__init__()
        self.scale = linear.weight.detach().abs().amax() / 127
        self.register_buffer("weight", (linear.weight.detach() / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, rows):
        return torch.nn.functional.linear(rows, self.weight.to(rows.dtype) * self.scale, self.bias)


def test_quantised_base(stock, batch, face):
    base = copy.deepcopy(stock)
    for block in base.transformer_blocks:
        block.attn1.to_k = Rounded(block.attn1.to_k)
        block.ff.net[2] = Rounded(block.ff.net[2])
    want = run(base, batch)
    model = MagicMirrorTransformer3DModel.from_transformer(base, **IDENTITY).eval()
    assert torch.equal(run(model, batch), want)
    layer = base.transformer_blocks[2].attn1.to_k
    assert torch.allclose(model.adapters["2"].kv.to_k.weight, layer.weight * layer.scale, atol=1e-6)
    assert torch.isfinite(run(model, batch, face=face)).all()
    assert torch.equal(run(to_base(model), batch), want)


def test_taking_over_leaves_the_base_as_it_was(stock, batch):
    base = copy.deepcopy(stock)
    model = MagicMirrorTransformer3DModel.from_transformer(base, **IDENTITY)
    assert type(base.transformer_blocks[0].attn1.processor) is CogVideoXAttnProcessor2_0
    assert model.transformer_blocks[0].attn1.to_q is base.transformer_blocks[0].attn1.to_q
    assert torch.equal(run(base, batch), run(stock, batch))
    kept = {n for n, _ in base.named_parameters()}
    assert {n for n, _ in to_base(model).named_parameters()} == kept


def test_a_processor_that_would_drop_the_face_is_refused(make_model, stock, batch, face):
    model = make_model()
    model.set_attn_processor(CogVideoXAttnProcessor2_0())
    assert torch.equal(run(model, batch), run(stock, batch))
    with pytest.raises(RequestError, match="decoupled face attention"):
        run(model, batch, face=face)


def test_compiled_models_take_the_direct_path(make_model):
    model = make_model()
    with torch.no_grad():
        assert fast_path_blocker(model) is None
        model.compile_repeated_blocks(backend="eager")
        assert fast_path_blocker(model) == "the transformer is compiled"


@pytest.mark.parametrize("rows", ["carry", "visible"])
def test_identity_scale_is_continuous_at_zero(make_model, batch, face, rows):
    """Face rows are new keys in the self-attention: their share goes to zero with the scale, on both paths."""
    from mmbench.model.fast.forward import FastPlan
    from mmbench.model.fast.tables import tabulate_schedule, tabulate_video

    model = make_model(face_rows=rows)
    base = run(model, batch)
    moves = [(run(model, batch, face=face, identity_scale=s) - base).norm().item() for s in (1e-6, 0.01, 0.3, 1.0)]
    assert moves == sorted(moves)
    assert moves[0] < 1e-4 * moves[-1]
    with torch.no_grad():
        schedule = tabulate_schedule(model, (500,))
        plan = FastPlan(schedule, tabulate_video(model, schedule, face, 0.3))
        tabulated = model(**batch, plan=plan, step=0).sample
        direct = run(model, batch, face=face, identity_scale=0.3)
    assert (direct - tabulated).abs().max() <= 1e-6 * direct.abs().max()


def test_keys_and_values_of_the_current_rows(make_model, batch, face, tmp_path):
    """`ca_source="current"`: K2 and V2 follow the layer's own face rows, not the embedding alone."""
    given = make_model(), make_model(ca_source="current")
    outs = [run(model, batch, face=face) for model in given]
    assert (outs[0] - outs[1]).abs().max() > 1e-4
    with torch.no_grad():
        assert "ca_source" in fast_path_blocker(given[1])
    given[1].save_pretrained(tmp_path)
    again = MagicMirrorTransformer3DModel.from_pretrained(str(tmp_path)).eval()
    # weights loaded anew lie at other addresses, where sums round otherwise
    assert torch.allclose(run(again, batch, face=face), outs[1], atol=1e-5)
    with pytest.raises(ValueError, match="ca_source"):
        make_model(ca_source="now")


def test_another_number_of_faces_than_samples_is_refused(make_model, batch, face):
    half = {k: v[:1] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    with pytest.raises(RequestError, match="2 identities came for 1"):
        run(make_model(), half, face=face)
