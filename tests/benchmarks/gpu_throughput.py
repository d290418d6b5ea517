"""Clips a second of every network column on one GPU, against VBench's dynamic degree on the same GPU.

    python tests/benchmarks/gpu_throughput.py --device cuda --out results.json

All networks have full size and random weights; clips are synthetic and lie in memory, so decoding is not timed.
"VBench" is its loop with torchvision's raft_large (bit-equal to VBench's own class: tests/parity/test_raft_vbench.py):
one pair a forward, both frames encoded each time, 20 upsamplings, every pair, numpy's sort. `--tiny` tries the script
out on a processor. Results are printed and written as they come.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmbench.encode.inception.classes import InceptionPass, make_inception
from mmbench.encode.viclip.alignment import VideoTextPass, make_viclip
from mmbench.flow import vbench_rule as rule
from mmbench.flow.flow_pass import FlowPass, FlowResult
from mmbench.flow.raft.flow import RaftFlow
from mmbench.flow.raft.weights import load_raft
from mmbench.metrics.dynamic_degree import motion
from mmbench.metrics.inception_score import split_score
from mmbench.metrics.text_alignment import alignment
from mmbench.video.clip import ClipInfo


class Report:
    """Numbers by name, printed and saved at once."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        self.rows[name] = value
        print(f"{name}: {value}", flush=True)
        if self.path is not None:
            self.path.write_text(json.dumps(self.rows, indent=1) + "\n")


def clip_of(n: int, height: int, width: int, seed: int) -> np.ndarray:
    """Smooth random texture with noise that moves 4 px a frame."""
    rng = np.random.default_rng(seed)
    field = F.interpolate(
        torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 12, (width + 4 * n) // 12))),
        size=(height, width + 4 * n),
        mode="bilinear",
    )[0].permute(1, 2, 0)
    noisy = field.numpy() + rng.normal(0, 8, field.shape)
    return np.stack([np.clip(noisy[:, 4 * t : 4 * t + width], 0, 255) for t in range(n)]).astype(np.uint8)


def run_pass(made: Any, frames: np.ndarray) -> Any:
    n, height, width, _ = frames.shape
    made.start(ClipInfo(Path("clip.mp4"), n, width, height, 8.0, "container", 8.0, False, "0" * 64))
    for index, frame in enumerate(frames):
        made.feed(index, frame)
    return made.finish()


def vbench_scores(network: torch.nn.Module, frames: np.ndarray, device: str, pairs: int | None = None) -> list[float]:
    """VBench's loop: all frames as float32 on the device, then one stock forward a pair."""
    held = [torch.from_numpy(frame).permute(2, 0, 1).float()[None].to(device) for frame in frames]
    scores = []
    with torch.no_grad():
        for first, second in zip(held[:-1][:pairs], held[1:], strict=False):
            padding = rule.pad_amounts(*first.shape[-2:])
            pair = [2 * (F.pad(x, padding, mode="replicate") / 255.0) - 1.0 for x in (first, second)]
            flow = network(*(x.contiguous() for x in pair), num_flow_updates=20)[-1]
            u, v = flow[0].cpu().numpy()
            lengths = np.sqrt(np.square(u) + np.square(v)).flatten()
            scores.append(float(np.mean(abs(np.sort(-lengths))[: int(lengths.size * 0.05)])))
    return scores


def seconds(work: Callable[[np.ndarray], Any], clips: list[np.ndarray], device: str) -> tuple[float, list[Any]]:
    """Wall seconds a clip, after one warm-up."""
    work(clips[0])
    synchronise(device)
    start = time.perf_counter()
    results = [work(clip) for clip in clips]
    synchronise(device)
    return (time.perf_counter() - start) / len(clips), results


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def scaled_raft(tiny: bool, factor: float) -> torch.nn.Module:
    """Random RAFT whose steps are scaled, so that every pair lies above or below the threshold."""
    network = load_raft("random", tiny=tiny)[0]
    with torch.no_grad():
        network.update_block.flow_head.conv2.weight.mul_(factor)
        network.update_block.flow_head.conv2.bias.mul_(factor)
    return network


def flow_times(report: Report, clips: list[np.ndarray], device: str, tiny: bool) -> dict[str, float]:
    provenance = load_raft("random", tiny=True)[1]
    times: dict[str, float] = {}
    for kind, factor in (("moving", 3.0), ("still", 0.02)):
        network = scaled_raft(tiny, factor).to(device)
        stock, theirs = seconds(lambda clip, net=network: vbench_scores(net, clip, device), clips[:2], device)
        report.add(f"vbench_{kind}_s_per_clip", stock)
        settings = {
            "early": ("early", "fp32", False),
            "full_with_smoothness": ("full", "fp32", True),
            "early_fp16": ("early", "fp16", False),
            "full_with_smoothness_fp16": ("full", "fp16", True),
        }
        for name, (mode, precision, smooth) in settings.items():
            if precision == "fp16" and device == "cpu":
                continue
            backend = RaftFlow(network, provenance, device, precision=precision)
            taken, results = seconds(
                lambda clip, b=backend, m=mode, s=smooth: run_pass(FlowPass(b, m, want_smoothness=s), clip),
                clips,
                device,
            )
            times[f"{kind}_{name}"] = taken
            report.add(f"flow_{kind}_{name}_s_per_clip", taken)
            report.add(f"flow_{kind}_{name}_vs_vbench", stock / taken)
            check(report, f"flow_{kind}_{name}", results[: len(theirs)], theirs)
        times[f"{kind}_vbench"] = stock
    return times


def check(report: Report, name: str, ours: list[FlowResult], theirs: list[list[float]]) -> None:
    verdicts, gaps = [], []
    for result, scores in zip(ours, theirs, strict=True):
        shape = result.height, result.width, result.n_sampled
        verdicts.append(motion(result.scores, *shape).dynamic == motion(scores, *shape).dynamic)
        gaps.append(float(np.nanmax(np.abs(result.scores - np.array(scores)) / np.array(scores))))
    report.add(f"{name}_verdicts_equal", all(verdicts))
    report.add(f"{name}_largest_relative_score_difference", max(gaps))
    report.add(f"{name}_pairs_computed", [result.computed for result in ours])


def encoder_times(report: Report, clips: list[np.ndarray], device: str, tiny: bool) -> dict[str, float]:
    weights = None if tiny else "random"
    viclip = make_viclip(device, weights=weights, tiny=tiny)
    viclip.text("a person walks through a park")
    inception = make_inception(device, weights=weights, tiny=tiny)
    times: dict[str, float] = {}
    times["viclip"], seen = seconds(lambda clip: run_pass(VideoTextPass(viclip), clip), clips, device)
    report.add("viclip_s_per_clip", times["viclip"])
    times["inception"], classes = seconds(lambda clip: run_pass(InceptionPass(inception), clip), clips, device)
    report.add("inception_s_per_clip", times["inception"])
    report.add("text_alignment_of_first_clip", alignment(seen[0].video, viclip.text("a dog").feature).cosine)
    report.add("inception_score_of_all_frames", split_score(np.concatenate([r.log_probs for r in classes])))
    times["retinaface"] = retinaface_time(report, clips, device, tiny)
    return times


def retinaface_time(report: Report, clips: list[np.ndarray], device: str, tiny: bool) -> float:
    from mmbench.face.retinaface.detect import detect_faces
    from mmbench.face.retinaface.net import TinyRetinaFace, large_retinaface

    torch.manual_seed(0)
    network = (TinyRetinaFace() if tiny else large_retinaface()).to(device).eval()
    with torch.no_grad():  # a random network would call half of all priors a face
        for head in network.ClassHead:
            head.conv1x1.bias[0::2] += 100.0
    side, batch = (160, 1) if tiny else (960, 16)

    def detect(clip: np.ndarray) -> int:
        parts = [list(clip[start : start + batch]) for start in range(0, len(clip), batch)]
        return sum(len(faces) for part in parts for faces in detect_faces(network, part, side, device))

    taken, _ = seconds(detect, clips, device)
    report.add("retinaface_s_per_clip", taken)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 720), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = Report(options.out)
    device = options.device
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "processor"
    report.add("device", name)
    report.add("torch", torch.__version__)
    report.add("clip", f"{options.frames} frames, {options.size[0]}x{options.size[1]}, 8 fps, {options.clips} clips")
    clips = [clip_of(options.frames, *options.size, seed) for seed in range(options.clips)]
    encoders = encoder_times(report, clips, device, options.tiny)
    flows = flow_times(report, clips, device, options.tiny)
    for kind in ("moving", "still"):
        for mode in ("early", "full_with_smoothness", "early_fp16", "full_with_smoothness_fp16"):
            if f"{kind}_{mode}" not in flows:
                continue
            total = flows[f"{kind}_{mode}"] + sum(encoders.values())
            report.add(f"all_columns_{kind}_{mode}_clips_per_s", 1 / total)
            report.add(f"all_columns_{kind}_{mode}_vs_vbench_dynamic_degree_alone", flows[f"{kind}_vbench"] / total)
    if device.startswith("cuda"):
        report.add("peak_gpu_memory_gib", torch.cuda.max_memory_allocated() / 2**30)


if __name__ == "__main__":
    main()
