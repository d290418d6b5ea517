"""Dynamic degree against VBench's own class (PyPI `vbench`), one random RAFT state dict in both."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.flow.flow_pass import FlowPass, FlowResult
from mmbench.flow.raft.flow import RaftFlow
from mmbench.flow.raft.weights import load_raft, random_raft, torchvision_key
from mmbench.metrics.dynamic_degree import motion
from mmbench.video.clip import ClipInfo

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(importlib.util.find_spec("vbench") is None, reason="needs the package vbench"),
]

# frames, fps, height, width, px a frame, contrast: every rate class, odd sizes, one and two sampled frames
CLIPS = [
    (1, 8, 128, 128, 0.0, 1.0),
    (2, 8, 128, 128, 0.0, 1.0),
    (2, 30, 128, 144, 4.0, 1.0),
    (3, 8, 128, 128, 0.0, 1.0),
    (3, 8, 128, 128, 6.0, 1.0),
    (4, 16, 130, 128, 2.0, 0.8),
    (5, 8, 128, 160, 0.5, 0.4),
    (6, 8, 136, 128, 3.0, 1.0),
    (7, 12, 128, 128, 5.0, 0.9),
    (8, 20, 128, 192, 1.0, 0.2),
    (9, 24, 144, 128, 8.0, 1.0),
    (9, 8, 128, 128, 0.0, 0.1),
    (10, 10, 128, 130, 2.0, 0.7),
    (10, 28, 128, 128, 7.0, 1.0),
    (11, 36, 128, 128, 3.0, 0.6),
    (12, 25, 128, 154, 4.0, 0.5),
    (13, 60, 128, 128, 1.0, 1.0),
    (14, 30, 142, 134, 2.0, 0.9),
    (15, 12, 128, 128, 0.2, 0.3),
    (16, 8, 128, 128, 4.0, 0.9),
    (16, 16, 128, 128, 0.0, 0.05),
    (17, 24, 128, 176, 6.0, 0.8),
    (18, 50, 128, 128, 2.0, 1.0),
    (20, 23.976, 128, 128, 3.0, 0.4),
    (21, 29.97, 128, 128, 1.0, 0.15),
    (22, 20, 128, 128, 5.0, 1.0),
    (24, 120, 128, 128, 0.5, 1.0),
    (25, 25, 130, 130, 0.0, 0.6),
    (27, 30, 128, 128, 2.0, 0.25),
    (30, 60, 128, 128, 4.0, 0.5),
    (33, 48, 192, 128, 3.0, 0.35),
]


def write_clip(path: Path, case: tuple[int, float, int, int, float, float], seed: int) -> None:
    import cv2

    n, fps, height, width, step, contrast = case
    field = np.random.default_rng(seed).uniform(0, 255, (height, width + 400, 3)).astype(np.float32)
    field = 128 + contrast * 4 * (cv2.GaussianBlur(field, (0, 0), 4) - 128)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for index in range(n):
        shift = np.float32([[1, 0, -step * index], [0, 1, 0]])
        picture = cv2.warpAffine(field, shift, (width, height), borderMode=cv2.BORDER_WRAP)
        writer.write(np.clip(picture, 0, 255).astype(np.uint8))
    writer.release()


def decode(path: Path) -> tuple[list[np.ndarray], float]:
    import av

    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def measure(flow_pass: FlowPass, frames: list[np.ndarray], fps: float) -> FlowResult:
    height, width, _ = frames[0].shape
    clip = ClipInfo(Path("a.mp4"), len(frames), width, height, fps, "container", fps, False, "0" * 64)
    flow_pass.start(clip)
    for index, frame in enumerate(frames):
        flow_pass.feed(index, frame)
    return flow_pass.finish()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """VBench's RAFT with random weights and statistics, saved in its layout and loaded by both sides."""
    from easydict import EasyDict
    from vbench.dynamic_degree import DynamicDegree
    from vbench.third_party.RAFT.core.raft import RAFT

    options = {"small": False, "mixed_precision": False, "alternate_corr": False}
    torch.manual_seed(3)
    original = RAFT(EasyDict(options))
    for module in original.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():  # lengths of a few px, so that scores fall on both sides of the thresholds
        original.update_block.flow_head.conv2.weight.mul_(0.196)
        original.update_block.flow_head.conv2.bias.mul_(0.196)
    file = tmp_path_factory.mktemp("raft") / "raft-things.pth"
    torch.save({f"module.{key}": tensor for key, tensor in original.state_dict().items()}, file)
    vbench = DynamicDegree(EasyDict({**options, "model": str(file)}), torch.device("cpu"))
    return vbench, file


def test_the_originals_own_keys_map_to_torchvisions(both):
    vbench, _ = both
    keys = vbench.model.state_dict().keys()
    assert len(keys) == 179
    assert {torchvision_key(key) for key in keys} - {None} == set(random_raft("large").state_dict())


def test_flow_equals_vbenchs_network(both, note):
    vbench, file = both
    network, provenance = load_raft(file)
    backend = RaftFlow(network, provenance, split_gru=False)
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 128, 192, 3), dtype=np.uint8))
    first, second = (torch.from_numpy(frame).permute(2, 0, 1)[None].float() for frame in frames)
    with torch.no_grad():
        theirs = vbench.model(first, second, iters=20, test_mode=True)[1]
    features = backend.encode(frames)
    ours = backend.flows(frames[:1], features[:1], features[1:])
    worst = (ours - theirs).abs().max()
    note(f"RAFT 128x192, 20 iterations: flow to {theirs.abs().max():.2f} px, difference {worst}")
    assert worst <= 1e-5  # nothing on most processors; two copies of the weights may be summed in another order


def test_verdicts_and_scores_of_many_clips(both, note, tmp_path, monkeypatch):
    vbench, file = both
    network, provenance = load_raft(file)
    seen: list[list[float]] = []
    check = type(vbench).check_move
    monkeypatch.setattr(type(vbench), "check_move", lambda self, scores: seen.append(scores) or check(self, scores))
    verdicts, exact_worst, split_worst, computed, pairs = [], 0.0, 0.0, 0, 0
    for index, case in enumerate(CLIPS):
        path = tmp_path / f"{index}.mp4"
        write_clip(path, case, seed=index)
        theirs = vbench.infer(str(path))
        frames, fps = decode(path)
        full = measure(FlowPass(RaftFlow(network, provenance, split_gru=False), "full"), frames, fps)
        early = measure(FlowPass(RaftFlow(network, provenance), "early"), frames, fps)
        for result in (full, early):
            ours = motion(result.scores, result.height, result.width, result.n_sampled)
            assert ours.dynamic is theirs, case
        assert (full.threshold, full.count_needed) == (vbench.params["thres"], vbench.params["count_num"])
        assert len(full.scores) == len(seen[-1])
        reference = np.array(seen[-1])
        exact_worst = max(exact_worst, np.abs(full.scores - reference).max(initial=0))
        split_worst = max(split_worst, np.nanmax(np.abs(early.scores - reference), initial=0))
        verdicts.append(theirs)
        computed, pairs = computed + early.computed, pairs + len(reference)
    note(
        f"dynamic degree, {len(CLIPS)} clips: verdicts equal, {sum(verdicts)} dynamic; pair scores differ by "
        f"{exact_worst} px (exact) and {split_worst:.1e} px (split GRU); "
        f"early mode computed {computed} of {pairs} pairs"
    )
    assert exact_worst <= 1e-5  # two copies of the weights: sums may round otherwise
    assert split_worst <= 1e-4
    assert 6 <= sum(verdicts) <= len(CLIPS) - 6


def test_a_folder_of_frames_is_not_subsampled(both, tmp_path):
    import cv2

    vbench, file = both
    network, provenance = load_raft(file)
    frames = list(np.random.default_rng(5).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8))
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{index:03d}.bmp"), frame[..., ::-1])
    theirs = vbench.infer(str(tmp_path))
    clip = ClipInfo(tmp_path, 3, 128, 128, 24.0, "assumed", 0.0, True, "0" * 64)
    flow_pass = FlowPass(RaftFlow(network, provenance), "full")
    flow_pass.start(clip)
    for index, frame in enumerate(frames):
        flow_pass.feed(index, frame)
    result = flow_pass.finish()
    assert result.n_sampled == 3
    assert motion(result.scores, 128, 128, 3).dynamic is theirs
