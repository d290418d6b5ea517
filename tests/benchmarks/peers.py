"""Processor seconds and peak memory of the neural columns against their originals, same clips, same weights.

    python tests/benchmarks/peers.py --out reports/profile/peers.json

Needs the packages `vbench` (with 'setuptools<81'), `decord` and `pytorch-gan-metrics==0.5.3` beside mmbench. Every
measurement is a fresh process with one thread; loading networks is not timed. Weights are random: RAFT's last layer
is scaled so that every pair lies above the threshold ("moving"), below it ("still"), or half of them ("mixed", with
guesses that know nothing). Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

RAFT_SCALES = {"moving": 3.0, "still": 0.02, "mixed": None}
OPTIONS = {"small": False, "mixed_precision": False, "alternate_corr": False}


@dataclass(frozen=True)
class Case:
    """One comparison: what, at which frame size and length, on which kind of motion."""

    what: str
    height: int
    width: int
    frames: int
    kind: str = "moving"

    @property
    def name(self) -> str:
        return f"{self.what} {self.height}x{self.width}, {self.frames} frames, {self.kind}"


CASES = [
    Case("dynamic degree", 256, 256, 49, "moving"),
    Case("dynamic degree", 256, 256, 49, "mixed"),
    Case("dynamic degree", 256, 256, 49, "still"),
    Case("dynamic degree", 480, 720, 17, "moving"),
    Case("dynamic degree", 480, 720, 17, "still"),
    Case("text alignment", 480, 720, 49),
    Case("inception", 480, 720, 49),
]
LONG = [Case("dynamic degree", 256, 256, frames, "moving") for frames in (49, 245)]


def write_clip(path: Path, case: Case) -> None:
    """Noisy texture that moves 3 px a frame, so that no two frames are equal."""
    from mmbench.video.write import write_video

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (case.height // 16 + 1, (case.width + 3 * case.frames) // 16 + 1, 3))
    field = np.kron(coarse, np.ones((16, 16, 1)))
    frames = []
    for t in range(case.frames):
        part = field[: case.height, 3 * t : 3 * t + case.width] + rng.normal(0, 10, (case.height, case.width, 3))
        frames.append(np.clip(part, 0, 255).astype(np.uint8))
    write_video(path, frames, 8.0)


def write_raft(path: Path, case: Case, clip: Path) -> None:
    """A random checkpoint in VBench's layout, scaled for the kind of clip."""
    import torch
    from easydict import EasyDict
    from vbench.third_party.RAFT.core.raft import RAFT

    torch.manual_seed(3)
    network = RAFT(EasyDict(OPTIONS))
    scale = RAFT_SCALES[case.kind]
    head = network.update_block.flow_head.conv2
    with torch.no_grad():
        if scale is None:  # one pair measured, then scaled to lie on the threshold
            head.weight.mul_(0.2)
            head.bias.mul_(0.2)
            for _ in range(4):
                factor = _threshold_over_score(network, clip)
                head.weight.mul_(factor)
                head.bias.mul_(factor)
        else:
            head.weight.mul_(scale)
            head.bias.mul_(scale)
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, path)


def _threshold_over_score(network: Any, clip: Path) -> float:
    import torch

    from mmbench.flow.vbench_rule import pair_score, pair_threshold
    from mmbench.video.read import open_clip

    class FirstFrames:
        name = "first"

        def start(self, info: Any) -> None:
            self.frames: list[np.ndarray] = []

        def feed(self, index: int, frame: np.ndarray) -> None:
            if index in (0, 1):
                self.frames.append(frame.copy())

        def finish(self) -> None:
            return None

    first = FirstFrames()
    open_clip(clip).decode([first])
    pair = [torch.from_numpy(frame).permute(2, 0, 1)[None].float() for frame in first.frames]
    with torch.no_grad():
        flow = network.eval()(*pair, iters=20, test_mode=True)[1][0]
    return pair_threshold(*first.frames[0].shape[:2]) / pair_score(flow)


def theirs_dynamic_degree(clip: Path, weights: Path) -> Callable[[], Any]:
    import torch
    from easydict import EasyDict
    from vbench.dynamic_degree import DynamicDegree

    measure = DynamicDegree(EasyDict({**OPTIONS, "model": str(weights)}), torch.device("cpu"))
    return lambda: measure.infer(str(clip))


def ours_dynamic_degree(clip: Path, weights: Path) -> Callable[[], Any]:
    from mmbench.flow.flow_pass import FlowPass
    from mmbench.flow.make import make_flow
    from mmbench.metrics.dynamic_degree import motion
    from mmbench.video.read import open_clip

    backend = make_flow("raft", weights=weights)

    def run() -> dict[str, Any]:
        flow_pass = FlowPass(backend, "early")
        open_clip(clip).decode([flow_pass])
        result = flow_pass.finish()
        verdict = motion(result.scores, result.height, result.width, result.n_sampled).dynamic
        return {"verdict": verdict, "pairs": result.computed, "redone": result.redone}

    return run


def theirs_text_alignment(clip: Path, weights: Path) -> Callable[[], Any]:
    from vbench.overall_consistency import get_text_features, get_vid_features
    from vbench.third_party.ViCLIP.simple_tokenizer import SimpleTokenizer
    from vbench.third_party.ViCLIP.viclip import ViCLIP
    from vbench.utils import clip_transform, read_frames_decord_by_fps

    words = Path(os.environ["VBENCH_CACHE_DIR"]) / "ViCLIP" / "bpe_simple_vocab_16e6.txt.gz"
    network = ViCLIP(tokenizer=SimpleTokenizer(str(words)), pretrain=str(weights))

    def run() -> float:
        images = clip_transform(224)(read_frames_decord_by_fps(str(clip), num_frames=8, sample="middle"))
        seen = get_vid_features(network, images[None])
        return float((seen @ get_text_features(network, "a dog runs", None).T)[0][0])

    return run


def ours_text_alignment(clip: Path, weights: Path) -> Callable[[], Any]:
    from mmbench.encode.viclip.alignment import VideoTextPass, make_viclip
    from mmbench.metrics.text_alignment import alignment
    from mmbench.video.read import open_clip

    encoder = make_viclip(weights=weights)

    def run() -> float:
        video_pass = VideoTextPass(encoder)
        open_clip(clip).decode([video_pass])
        return alignment(video_pass.finish().video, encoder.text("a dog runs").feature).cosine

    return run


def theirs_inception(clip: Path, weights: Path) -> Callable[[], Any]:
    """As EvalCrafter calls it for each video: decord, all frames as float, the network built again each time."""
    import decord
    import torch
    from pytorch_gan_metrics import inception
    from pytorch_gan_metrics.core import get_inception_feature

    inception.load_state_dict_from_url = lambda *args, **kwargs: torch.load(weights, weights_only=True)

    def run() -> float:
        decord.bridge.set_bridge("torch")
        reader = decord.VideoReader(str(clip), num_threads=1)
        images = reader.get_batch(list(range(len(reader)))).permute(0, 3, 1, 2).float() / 255
        (probs,) = get_inception_feature(images, dims=[1008], use_torch=True, device=torch.device("cpu"))
        return float(probs[-1].max())

    return run


def ours_inception(clip: Path, weights: Path) -> Callable[[], Any]:
    from mmbench.encode.inception.classes import InceptionPass, make_inception
    from mmbench.video.read import open_clip

    network = make_inception(weights=weights)

    def run() -> float:
        inception_pass = InceptionPass(network)
        open_clip(clip).decode([inception_pass])
        return float(np.exp(inception_pass.finish().log_probs[-1].max()))

    return run


def write_viclip(path: Path) -> None:
    import torch
    from vbench.third_party.ViCLIP.simple_tokenizer import SimpleTokenizer
    from vbench.third_party.ViCLIP.viclip import ViCLIP

    torch.manual_seed(0)
    words = Path(os.environ["VBENCH_CACHE_DIR"]) / "ViCLIP" / "bpe_simple_vocab_16e6.txt.gz"
    network = ViCLIP(tokenizer=SimpleTokenizer(str(words)), pretrain=None)
    with torch.no_grad():  # what its constructor leaves empty
        network.vision_encoder.proj.normal_(0, 1024**-0.5)
        network.text_encoder.positional_embedding.normal_(0, 0.01)
        network.text_encoder.text_projection.normal_(0, 768**-0.5)
    torch.save({"model": network.state_dict()}, path)


def write_inception(path: Path) -> None:
    import torch

    from mmbench.encode.inception.net import FidInception, randomise

    network = FidInception()
    randomise(network)
    torch.save(network.state_dict(), path)


def write_weights(case: Case, path: Path, clip: Path) -> None:
    if case.what == "dynamic degree":
        write_raft(path, case, clip)
    elif case.what == "text alignment":
        write_viclip(path)
    else:
        write_inception(path)


def one_side(side: str, case: Case, clip: Path, weights: Path) -> None:
    """In a fresh process: load, measure, print one JSON line."""
    import torch

    torch.set_num_threads(1)
    if side == "weights":
        write_weights(case, weights, clip)
        return
    run = globals()[f"{side}_{case.what.replace(' ', '_')}"](clip, weights)
    start = time.process_time()
    value = run()
    spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps({"seconds": spent, "peak_mib": peak, "value": value}))


def in_process(side: str, case: Case, clip: Path, weights: Path) -> dict[str, Any]:
    arguments = [case.what, str(case.height), str(case.width), str(case.frames), case.kind]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
    command = [sys.executable, __file__, "--side", side, "--case", *arguments, "--files", str(clip), str(weights)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or (side != "weights" and not lines):
        raise SystemExit(f"{side} {case.name} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(lines[-1][7:])) if lines else {}


def compare(cases: list[Case], sides: tuple[str, ...], folder: Path) -> list[dict[str, Any]]:
    rows = []
    for case in cases:
        clip, weights = folder / "clip.mp4", folder / "weights.pth"
        write_clip(clip, case)
        in_process("weights", case, clip, weights)
        results = {side: in_process(side, case, clip, weights) for side in sides}
        rows.append({"case": case.name, **results})
        print(row_text(rows[-1]), flush=True)
    return rows


def row_text(row: dict[str, Any]) -> str:
    ours, theirs = row["ours"], row.get("theirs")
    text = f"| {row['case']} |"
    if theirs is None:
        return f"{text} | {ours['seconds']:.1f} | | | {ours['peak_mib']:.0f} | {ours['value']} |"
    ratio = theirs["seconds"] / ours["seconds"]
    return (
        f"{text} {theirs['seconds']:.1f} | {ours['seconds']:.1f} | {ratio:.2f} | {theirs['peak_mib']:.0f} | "
        f"{ours['peak_mib']:.0f} | {theirs['value']}, {ours['value']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", help="run the cases whose name holds this text")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--files", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        what, height, width, frames, kind = options.case
        one_side(options.side, Case(what, int(height), int(width), int(frames), kind), *options.files)
        return
    import open_clip

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ViCLIP").mkdir()
        words = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
        shutil.copy(words, folder / "ViCLIP" / words.name)
        os.environ["VBENCH_CACHE_DIR"] = str(folder)
        print("| case | original, s | ours, s | ratio | original, MiB | ours, MiB | original, ours |")
        print("|---|---|---|---|---|---|---|", flush=True)
        chosen = [case for case in CASES if not options.only or options.only in case.name]
        rows = compare(chosen, ("theirs", "ours"), folder)
        if not options.only:
            rows += compare(LONG, ("ours",), folder)
        if options.out:
            options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
