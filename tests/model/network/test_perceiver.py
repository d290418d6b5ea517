"""The perceiver against a direct transcription of its definition, its key map, and its full-size counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmbench.errors import WeightsError
from mmbench.model.network.fusion import FusionMLP, fuse_words, word_positions
from mmbench.model.network.perceiver import IdentityPerceiver, Perceiver, resampler_keys, take_keys, tau_id_keys
from mmbench.model.network.photomaker import split_state


def reference_perceiver(state: dict[str, torch.Tensor], x: torch.Tensor, lat: torch.Tensor, heads: int):
    """Plain softmax arithmetic in float64 under upstream key names."""
    state = {k: v.double() for k, v in state.items()}
    x, lat = x.double(), lat.double()

    def norm(v, name):
        return nn.functional.layer_norm(v, v.shape[-1:], state[name + ".weight"], state[name + ".bias"])

    x = x @ state["proj_in.weight"].T + state["proj_in.bias"]
    depth = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("layers."))
    for i in range(depth):
        p = f"layers.{i}"
        nx, nl = norm(x, f"{p}.0.norm1"), norm(lat, f"{p}.0.norm2")
        q = nl @ state[f"{p}.0.to_q.weight"].T
        k, v = (torch.cat([nx, nl], 1) @ state[f"{p}.0.to_kv.weight"].T).chunk(2, -1)
        q, k, v = (t.reshape(t.shape[0], t.shape[1], heads, -1).permute(0, 2, 1, 3) for t in (q, k, v))
        w = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        lat = lat + (w @ v).permute(0, 2, 1, 3).flatten(2) @ state[f"{p}.0.to_out.weight"].T
        h = norm(lat, f"{p}.1.0") @ state[f"{p}.1.1.weight"].T
        lat = lat + nn.functional.gelu(h) @ state[f"{p}.1.3.weight"].T
    return norm(lat @ state["proj_out.weight"].T + state["proj_out.bias"], "norm_out")


@pytest.mark.parametrize(("heads", "head_dim"), [(None, 16), (3, 16), (2, 8)])
def test_equals_definition(heads, head_dim):
    torch.manual_seed(0)
    net = Perceiver(24, 32, 20, depth=2, head_dim=head_dim, heads=heads, num_queries=5)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    keys = resampler_keys(2, learned_queries=True)
    assert set(keys.values()) == set(net.state_dict())
    upstream = {up: net.state_dict()[our] for up, our in keys.items()}
    x = torch.randn(3, 7, 24)
    want = reference_perceiver(upstream, x, upstream["latents"].expand(3, -1, -1), heads or 32 // head_dim)
    assert (net(x).double() - want).abs().max() < 1e-5


def test_no_queries_needs_latents():
    with pytest.raises(ValueError, match="latents"):
        Perceiver(8, 8, 8, depth=1, head_dim=8)(torch.zeros(1, 2, 8))


def test_full_size_counts():
    with torch.device("meta"):
        tau_id = IdentityPerceiver()
        tau_face = Perceiver(1024, 2048, 2048, depth=12, num_queries=32)
        fusion = FusionMLP()
    count = {m: sum(p.numel() for p in m.parameters()) for m in (tau_id, tau_face, fusion)}
    assert list(count.values()) == [217_122_816, 610_492_416, 83_927_040]
    assert set(tau_id_keys().values()) == set(tau_id.state_dict())


def tiny_photomaker_state():
    """A checkpoint of PhotoMaker-V2's key names at toy size, and the modules it came from."""
    torch.manual_seed(1)
    tau_id = IdentityPerceiver(12, 24, 16, depth=2, head_dim=8)
    fusion = FusionMLP(16, 16, norm=True)
    names = {"norm1": "mlp1.layernorm", "in1": "mlp1.fc1", "out1": "mlp1.fc2", "norm2": "mlp2.layernorm"}
    names |= {"in2": "mlp2.fc1", "out2": "mlp2.fc2", "norm_out": "layer_norm"}
    state = {f"qformer_perceiver.{up}": tau_id.state_dict()[our] for up, our in tau_id_keys(2).items()}
    for our, value in fusion.state_dict().items():
        module, _, leaf = our.partition(".")
        state[f"fuse_module.{names[module]}.{leaf}"] = value
    state |= {
        "vision_model.pre_layrnorm.weight": torch.ones(24),
        "visual_projection.weight": torch.ones(2, 2),
    }
    return state, tau_id, fusion


def test_split_state_round_trip():
    state, tau_id, _ = tiny_photomaker_state()
    parts = split_state(state, depth=2)
    other = IdentityPerceiver(12, 24, 16, depth=2, head_dim=8)
    other.load_state_dict(parts.tau_id)
    e, f = torch.randn(2, 12), torch.randn(2, 9, 24)
    torch.testing.assert_close(other(e, f), tau_id(e, f), rtol=0, atol=1e-5)  # equal weights elsewhere in memory
    again = FusionMLP(16, 16, norm=True)
    again.load_state_dict(parts.fusion)
    assert list(parts.vision) == ["pre_layrnorm.weight"]


@pytest.mark.parametrize("change", ["drop", "add", "stranger"])
def test_split_state_is_strict(change):
    state, _, _ = tiny_photomaker_state()
    if change == "drop":
        del state["qformer_perceiver.token_norm.bias"]
    elif change == "add":
        state["fuse_module.extra"] = torch.zeros(1)
    else:
        state["unet.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError):
        split_state(state, depth=2)


def test_take_keys_names_the_file():
    with pytest.raises(WeightsError, match=r"photo\.bin"):
        take_keys({}, {"a": "b"}, "", "photo.bin")


def test_fusion_touches_masked_rows_only():
    torch.manual_seed(0)
    fusion = FusionMLP(8, 6)
    text, ids = torch.randn(2, 5, 8), torch.randn(2, 6)
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 1:3] = mask[1, 4] = True
    out = fuse_words(fusion, text, word_positions(mask), ids)
    assert torch.equal(out[~mask], text[~mask])
    assert (out[mask] - text[mask]).abs().min(dim=-1).values.max() > 0
    one_by_one = fusion(text[1:2, 4], ids[1:2])
    assert torch.allclose(out[1, 4], one_by_one[0], atol=1e-6)
    half = fuse_words(fusion, text, word_positions(mask), ids, scale=0.5)
    assert torch.allclose(half, (out + text) / 2, atol=1e-6)
    assert torch.equal(fuse_words(fusion, text, word_positions(mask), ids, scale=0.0), text)
    fusion.reset_parameters()
    assert torch.equal(fuse_words(fusion, text, word_positions(mask), ids), text)
