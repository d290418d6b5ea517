"""Peak memory of one streamed decode at 1x and 10x clip length, beside a reader that keeps all frames.

Each measurement is a process of its own (VmHWM, so Linux only); "before" is the same process up to the first
frame. Goal: the streamed peak grows by less than 5 % beside the 16 MiB of frames that may wait for the networks, of
which a short clip fills less. Last seen for mp4: 98 MiB at 49 frames, 111 at 490, 112 at 980. WebP grows by the size of
the file itself, which Pillow keeps in memory (compressed).
Run: python tests/benchmarks/decode_memory.py [--frames 49]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

KINDS = ("mp4", "gif", "webp", "folder")


def peak_mib() -> float:
    """Largest resident size of this process so far (Linux). Not ru_maxrss: a child inherits its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def make(path: Path, n_frames: int, width: int = 720, height: int = 480) -> Path:
    """A drawn clip of moving waves in the kind of file its ending names; no ending: a folder."""
    from PIL import Image

    from mmbench.video.write import write_video

    y, x = np.mgrid[:height, :width]

    def draw(index: int) -> np.ndarray:
        waves = [127 + 120 * np.sin((x + 3 * index) / a + y / b) for a, b in ((40, 70), (90, 30), (60, 50))]
        return np.stack(waves, axis=-1).astype(np.uint8)

    if path.suffix == ".mp4":
        write_video(path, (draw(index) for index in range(n_frames)), 8)
    elif path.suffix:
        rest = (Image.fromarray(draw(index)) for index in range(1, n_frames))
        options = {"quality": 60, "method": 0} if path.suffix == ".webp" else {}
        Image.fromarray(draw(0)).save(path, save_all=True, append_images=rest, duration=125, **options)
    else:
        path.mkdir()
        for index in range(n_frames):
            Image.fromarray(draw(index)).save(path / f"{index}.jpg")
    return path


def child(clip: Path, method: str) -> None:
    """Read the clip in this process and print what it took."""
    from mmbench.video.cadence import CadencePass
    from mmbench.video.read import decode, open_clip

    frames = open_clip(clip).frames()
    next(frames)
    frames.close()
    before, start = peak_mib(), time.process_time()
    if method == "streamed":
        count = decode(clip, [CadencePass()]).n_frames
    else:
        count = len(list(open_clip(clip).frames()))
    print(json.dumps({"n": count, "before": before, "peak": peak_mib(), "seconds": time.process_time() - start}))


def measure(clip: Path, method: str) -> dict[str, float]:
    """One child process."""
    command = [sys.executable, __file__, "--child", str(clip), method]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the table, or be the child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--child", nargs=2, metavar=("CLIP", "METHOD"))
    given = parser.parse_args()
    if given.child:
        child(Path(given.child[0]), given.child[1])
        return
    print("kind    reader     frames  before MiB  peak MiB   ms/frame   peak 10x / 1x")
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            clips = [
                make(
                    Path(folder) / (f"{times}.{kind}" if kind != "folder" else f"{times}"),
                    times * given.frames,
                )
                for times in (1, 10)
            ]
            for method in ("streamed", "keep all"):
                results = [measure(clip, method) for clip in clips]
                ratio = results[1]["peak"] / results[0]["peak"]
                for result, last in zip(results, ("", f"{ratio:10.3f}"), strict=True):
                    print(
                        f"{kind:8}{method:10}{result['n']:7}{result['before']:12.1f}{result['peak']:10.1f}"
                        f"{1000 * result['seconds'] / result['n']:11.2f}{last:>15}"
                    )


if __name__ == "__main__":
    main()
