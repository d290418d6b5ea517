"""RAFT against torchvision's own forward with the same random weights, and the original checkpoint's layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmbench.errors import MissingWeights, WeightsError
from mmbench.flow import vbench_rule as rule
from mmbench.flow.flow_pass import FlowPass
from mmbench.flow.make import make_flow
from mmbench.flow.raft.correlation import CorrelationLookup, coordinates, correlation_pyramid
from mmbench.flow.raft.flow import RaftFlow
from mmbench.flow.raft.update import SplitUpdate
from mmbench.flow.raft.weights import load_raft, random_raft, torchvision_key

# ours -> the original's: written out independently of the rules under test
ORIGINAL_MODULES = {"feature_encoder": "fnet", "context_encoder": "cnet"}


def original_layout(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename a torchvision state dict to the names raft-things has, second copies of norm3 included."""
    renamed = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if parts[0] in ORIGINAL_MODULES:
            encoder, rest = ORIGINAL_MODULES[parts[0]], parts[1:]
            if rest[0] == "convnormrelu":
                name = f"{encoder}.{'conv1' if rest[1] == '0' else 'norm1'}.{rest[2]}"
            elif rest[0] == "conv":
                name = f"{encoder}.conv2.{rest[1]}"
            elif rest[2].startswith("convnormrelu"):
                kind = "conv" if rest[3] == "0" else "norm"
                name = f"{encoder}.{rest[0]}.{rest[1]}.{kind}{rest[2][-1]}.{rest[4]}"
            else:
                name = f"{encoder}.{'.'.join(rest)}"
                if encoder == "cnet" and rest[3] == "1":
                    renamed[f"module.cnet.{rest[0]}.{rest[1]}.norm3.{rest[4]}"] = tensor
        elif parts[0] == "mask_predictor":
            name = f"update_block.mask.{'0' if parts[1] == 'convrelu' else '2'}.{parts[-1]}"
        elif parts[1] == "motion_encoder":
            short = {"convcorr": "convc", "convflow": "convf", "conv": "conv"}[parts[2].rstrip("12")]
            name = f"update_block.encoder.{short}{parts[2][len(parts[2].rstrip('12')) :]}.{parts[-1]}"
        elif parts[1] == "recurrent_block":
            name = f"update_block.gru.{parts[3]}{parts[2][-1]}.{parts[-1]}"
        else:
            name = key
        renamed[f"module.{name}"] = tensor
    return renamed


@pytest.fixture(scope="module")
def large():
    return random_raft("large")


def frames_of(height: int, width: int, n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(n)]


def stock_flow(network, first: np.ndarray, second: np.ndarray) -> torch.Tensor:
    """torchvision's forward on frames padded and scaled as VBench does it."""
    pair = torch.from_numpy(np.stack([first, second])).permute(0, 3, 1, 2).contiguous().float()
    pair = torch.nn.functional.pad(pair, rule.pad_amounts(*pair.shape[-2:]), mode="replicate")
    pair = 2 * (pair / 255) - 1
    with torch.inference_mode():
        return network(pair[:1], pair[1:], num_flow_updates=20)[-1][0]


def test_the_key_map_covers_the_original_checkpoint(large):
    original = original_layout(large.state_dict())
    assert len(original) == 179
    mapped = {torchvision_key(key) for key in original} - {None}
    assert mapped == set(large.state_dict()) and len(mapped) == 169
    assert sum(torchvision_key(key) is None for key in original) == 10


def test_either_layout_loads_to_the_same_network(large, tmp_path):
    torch.save(original_layout(large.state_dict()), tmp_path / "raft-things.pth")
    torch.save(large.state_dict(), tmp_path / "torchvision.pth")
    for file in ("raft-things.pth", "torchvision.pth"):
        network, provenance = load_raft(tmp_path / file)
        assert provenance.weights.keys() == {file} and not provenance.random_weights
        for key, tensor in large.state_dict().items():
            assert torch.equal(network.state_dict()[key], tensor), key


def test_a_wrong_file_is_named(large, tmp_path):
    state = large.state_dict()
    state.pop("mask_predictor.conv.bias")
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(WeightsError, match=r"mask_predictor\.conv\.bias"):
        load_raft(tmp_path / "short.pth")


def test_missing_weights_name_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match="raft-things"):
        make_flow("raft")


@pytest.mark.parametrize("size", [(128, 136), (130, 141)])
def test_large_is_bit_equal_to_torchvisions_forward(large, size):
    frames = frames_of(*size, 2)
    backend = RaftFlow(large, load_raft("random")[1], split_gru=False)
    features = backend.encode(frames)
    ours = backend.flows(frames[:1], features[:1], features[1:])[0]
    stock = stock_flow(large, *frames)
    print(f"{size}: flow up to {stock.abs().max():.1f} px, difference {(ours - stock).abs().max()} px")
    assert stock.abs().max() > 1
    assert torch.equal(ours, stock)


@pytest.mark.parametrize("split", [False, True])
def test_batched_pairs_equal_single_pairs(split):
    network, provenance = load_raft(tiny=True)
    backend = RaftFlow(network, provenance, split_gru=split)
    frames = frames_of(40, 56, 4)
    features = backend.encode(frames)
    together = backend.flows(frames[:3], features[:3], features[1:])
    singles = torch.cat([backend.flows([frames[k]], features[k : k + 1], features[k + 1 : k + 2]) for k in range(3)])
    torch.testing.assert_close(together, singles, rtol=0, atol=1e-5)


def test_the_split_update_stays_within_a_ten_thousandth_of_a_pixel(large):
    frames = frames_of(128, 128, 2, seed=1)
    stock = stock_flow(large, *frames)
    backend = RaftFlow(large, load_raft("random")[1])
    features = backend.encode(frames)
    ours = backend.flows(frames[:1], features[:1], features[1:])[0]
    print(f"split update: difference {(ours - stock).abs().max():.2e} px of {stock.abs().max():.1f}")
    assert (ours - stock).abs().max() <= 1e-4
    assert backend.border > 0 and backend.exact.border == 0


def test_one_split_iteration_equals_the_stock_one(large):
    block = large.update_block
    generator = torch.Generator().manual_seed(2)
    hidden, context = torch.tanh(torch.randn(2, 2, 128, 9, 11, generator=generator))
    flow, correlation = (torch.randn(2, c, 9, 11, generator=generator) for c in (2, 324))
    with torch.inference_mode():
        stock_hidden, stock_step = block(hidden, context.relu(), correlation, flow)
        update = SplitUpdate(block, torch.float32)
        state = update.start(hidden, context.relu())
        step = update.step(state, flow, correlation)
    torch.testing.assert_close(state.hidden, stock_hidden, rtol=0, atol=2e-6)
    torch.testing.assert_close(step, stock_step, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [(16, 16), (17, 23)])
def test_the_lookup_equals_torchvisions(large, size):
    """Targets inside, on the edge and far outside the next frame."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(2, 2, 32, *size, generator=generator)
    block = large.corr_block
    block.build_pyramid(*features)
    ours = correlation_pyramid(*features, block.num_levels)
    for level, stock in zip(ours, block.corr_pyramid, strict=True):
        torch.testing.assert_close(level, stock, rtol=0, atol=1e-6)
    centres = coordinates(*size, "cpu") + 9 * torch.randn(2, 2, *size, generator=generator)
    looked_up = CorrelationLookup(ours, block.radius)(centres)
    assert looked_up.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(looked_up, block.index_pyramid(centres), rtol=0, atol=2e-5)
    block.corr_pyramid = []


def test_tiny_runs_the_same_code_and_equals_its_own_stock_forward():
    backend = make_flow("raft", tiny=True, split_gru=False)
    frames = frames_of(36, 50, 2)
    features = backend.encode(frames)
    ours = backend.flows(frames[:1], features[:1], features[1:])[0]
    stock = stock_flow(load_raft(tiny=True)[0], *frames)  # a second network of equal weights, elsewhere in memory
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)
    assert backend.provenance.random_weights and backend.min_side == 32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fast_modes_give_the_exact_modes_verdicts(make_clip, run_pass, precision):
    """Random weights scaled so that scores fall around the threshold; pairs close to it are measured again."""
    network, provenance = load_raft(tiny=True)
    frames = make_clip(13, 40, 48, 1.5)
    stock = run_pass(FlowPass(RaftFlow(network, provenance, split_gru=False), "full"), frames)
    with torch.no_grad():
        factor = stock.threshold / float(np.median(stock.scores))
        network.update_block.flow_head.conv2.weight.mul_(factor)
        network.update_block.flow_head.conv2.bias.mul_(factor)
    stock = run_pass(FlowPass(RaftFlow(network, provenance, split_gru=False), "full"), frames)
    fast = run_pass(FlowPass(RaftFlow(network, provenance, precision=precision), "full"), frames)
    assert stock.redone == 0
    assert ((stock.scores > stock.threshold) == (fast.scores > fast.threshold)).all()
    tolerance = 1e-3 if precision == "fp32" else 0.05
    np.testing.assert_allclose(fast.scores, stock.scores, rtol=tolerance)


def test_early_and_full_agree_and_early_computes_less(make_clip, run_pass):
    frames = make_clip(17, 32, 40, 1.0)
    full = run_pass(FlowPass(make_flow("raft", tiny=True), "full", want_smoothness=True), frames)
    early = run_pass(FlowPass(make_flow("raft", tiny=True), "early"), frames)
    assert (full.encoded, full.computed) == (17, 16)
    assert early.computed == early.decided_at < 16 and early.encoded <= 17
    seen = ~np.isnan(early.scores)
    np.testing.assert_allclose(early.scores[seen], full.scores[seen], rtol=1e-6)
    assert full.smoothness is not None and len(full.smoothness) == 15


def test_a_batch_larger_than_one_gives_the_same_scores(make_clip, run_pass, monkeypatch):
    frames = make_clip(12, 32, 40, 1.0)
    one = make_flow("raft", tiny=True)
    many = make_flow("raft", tiny=True)
    monkeypatch.setattr(many, "pairs_at_once", lambda height, width: 5)
    monkeypatch.setattr(many, "features_kept", lambda height, width: 3)
    for mode in ("full", "early"):
        a, b = (run_pass(FlowPass(backend, mode), frames) for backend in (one, many))
        both = ~np.isnan(a.scores) & ~np.isnan(b.scores)
        assert both.any()
        np.testing.assert_allclose(a.scores[both], b.scores[both], rtol=1e-5)


def test_frames_too_small_for_the_pyramid_are_reported(run_pass):
    result = run_pass(FlowPass(make_flow("raft", tiny=True), "full"), np.zeros((3, 24, 64, 3), np.uint8))
    assert "at least 32 px" in result.reason
