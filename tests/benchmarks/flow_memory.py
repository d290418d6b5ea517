"""Peak memory of the flow pass at one and ten times a clip's length; the goal is flat within 5 %.

    python tests/benchmarks/flow_memory.py

A tiny random RAFT on 256x384 frames made as they are fed, each length in a fresh process. 490 such frames held as
bytes would be 138 MiB, as VBench's float32 tensors 551 MiB.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

LENGTHS = (49, 490)
HEIGHT, WIDTH = 256, 384


def measure(n: int, mode: str) -> None:
    """In this process: one clip of `n` frames; print the peak."""
    import torch

    from mmbench.flow.flow_pass import FlowPass
    from mmbench.flow.make import make_flow
    from mmbench.video.clip import ClipInfo

    torch.set_num_threads(1)
    flow_pass = FlowPass(make_flow("raft", tiny=True), "full" if mode == "full" else "early", mode == "full")
    flow_pass.start(ClipInfo(Path("clip.mp4"), n, WIDTH, HEIGHT, 8.0, "container", 8.0, False, "0" * 64))
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for index in range(n):
        flow_pass.feed(index, np.roll(picture, 3 * index, axis=1) ^ np.uint8(index % 7))
    computed = flow_pass.finish().computed
    print(computed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), sys.argv[2])
        return
    for mode in ("early", "full"):
        peaks = []
        for n in LENGTHS:
            command = [sys.executable, __file__, str(n), mode]
            computed, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            print(f"{mode}: {n} frames, {computed} pairs computed, peak {float(peak):.0f} MiB", flush=True)
            peaks.append(float(peak))
        print(f"{mode}: peak at {LENGTHS[1]} frames over {LENGTHS[0]}: {peaks[1] / peaks[0]:.3f} (goal <= 1.05)")


if __name__ == "__main__":
    main()
