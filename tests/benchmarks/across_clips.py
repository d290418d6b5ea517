"""What batches across clips save: frames of several clips in full batches, beside batches that end with each clip.

    python tests/benchmarks/across_clips.py --out reports/profile/across_clips.md

Networks have full size and random weights; they get as many pictures a clip and a forward as an evaluation gives them
on that device. "In turn" is what an evaluation does: the last batch of a clip is short (dlib's is filled up).
"Across" gives the same pictures in full batches, and fills up the very last one. Shares are medians of rounds in which
the two take turns. "The same bits" says whether a picture's numbers are those of another place in a batch of the same
size, among other pictures; "moved" how far, relative to the largest number, those of batches across clips lie from
those in turn. Nothing is decoded, and nothing waits for a decoder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmbench.encode.clip.net import BASE_32, clip_network
from mmbench.encode.inception.classes import make_inception
from mmbench.face.dlib.resnet import DlibResNet
from mmbench.face.retinaface.eyes import GPU_BATCH
from mmbench.face.retinaface.net import large_retinaface


@dataclass(frozen=True)
class Watcher:
    """A network that looks at single pictures: `a_clip` of `shape` each clip, `batch` a forward."""

    name: str
    a_clip: int
    batch: int
    shape: tuple[int, int, int]
    forward: Callable[[Tensor], Tensor]
    filled: bool = False


def watchers(device: str, frames: int, size: tuple[int, int]) -> list[Watcher]:
    """Those of an evaluation that look at single pictures."""
    torch.manual_seed(0)
    on_cpu = device == "cpu"
    inception = make_inception(device, weights="random").network
    clip = clip_network(BASE_32).to(device).eval()
    dlib = DlibResNet().to(device).eval()
    made = [
        Watcher("Inception, every frame", frames, 4 if on_cpu else 64, (3, *size), lambda x: inception(x.byte())),
        Watcher("CLIP ViT-B/32, 16 frames", 16, 16, (3, 224, 224), lambda x: clip.encode_image(x / 255)),
        Watcher("dlib's recogniser, 16 faces", 16, 8, (3, 150, 150), dlib, filled=True),
        Watcher("dlib's recogniser, 13 faces", 13, 8, (3, 150, 150), dlib, filled=True),
    ]
    if not on_cpu:  # there it takes one frame a forward
        retina = large_retinaface().to(device).eval()
        made.append(Watcher("RetinaFace, every frame", frames, GPU_BATCH, (3, *size), lambda x: retina(x / 255)[1]))
    return made


def run(watcher: Watcher, pictures: Tensor, filled: bool) -> Tensor:
    """One clip's pictures, or several clips', in batches; the last one is short, or filled up."""
    rows = []
    with torch.inference_mode():
        for part in pictures.split(watcher.batch):
            whole = part
            if filled and len(part) < watcher.batch:
                whole = torch.cat([part, part.new_zeros(watcher.batch - len(part), *part.shape[1:])])
            rows.append(watcher.forward(whole)[: len(part)].float().cpu())
    return torch.cat(rows)


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what came of it; on the processor when it is back."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def same_bits(watcher: Watcher, pictures: Tensor) -> bool:
    """Whether a picture's numbers are the same at every other place of a batch, among other pictures."""
    alone = pictures[:1]
    others = pictures[1 : watcher.batch]
    seen = []
    with torch.inference_mode():
        for place in {0, len(others) // 2, len(others)}:
            for beside in (others, others.flip(0), torch.zeros_like(others)):
                batch = torch.cat([beside[:place], alone, beside[place:]])
                seen.append(watcher.forward(batch)[place].float().cpu())
    return all(torch.equal(one, seen[0]) for one in seen)


def line(watcher: Watcher, clips: int, device: str, rounds: int) -> str:
    """A row of the table."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (clips * watcher.a_clip, *watcher.shape), np.uint8)
    pictures = torch.from_numpy(drawn).to(device).float()

    def in_turn() -> Tensor:
        return torch.cat([run(watcher, clip, watcher.filled) for clip in pictures.split(watcher.a_clip)])

    def across() -> Tensor:
        return run(watcher, pictures, True)

    in_turn()
    across()
    shares, moved = [], 0.0
    for _ in range(rounds):
        (one, before), (two, after) = timed(in_turn), timed(across)
        shares.append(two / one)
        moved = float((before - after).abs().max() / before.abs().max())
    forwards = clips * -(-watcher.a_clip // watcher.batch), -(-clips * watcher.a_clip // watcher.batch)
    share = f"{statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"
    bits = "yes" if same_bits(watcher, pictures) else "no"
    return f"| {watcher.name} | {watcher.batch} | {forwards[0]} | {forwards[1]} | {share} | {bits} | {moved:.1e} |"


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 720), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    where = "the processor" if given.device == "cpu" else torch.cuda.get_device_name(given.device)
    lines = [
        "# Batches across clips",
        "",
        f"`tests/benchmarks/across_clips.py`: {given.clips} clips of {given.frames} frames on {where}, torch "
        f"{torch.__version__}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.",
        "",
        "| network | a forward | forwards in turn | across | share of the time | the same bits | moved |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for watcher in watchers(given.device, given.frames, tuple(given.size)):
        lines.append(line(watcher, given.clips, given.device, given.rounds))
        print(lines[-1], flush=True)
    if given.out is not None:
        given.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
