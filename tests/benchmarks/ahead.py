"""What decoding ahead saves: one clip beside work, in the same thread and in one of its own; and the next clip.

    python tests/benchmarks/ahead.py --out reports/profile/ahead.md

"On a device" is work that leaves the processor alone, as a GPU's does: a wait of as long as a frame's decoding takes,
or a third or three times that. "On the processor" is a matrix product of one thread. Seconds are medians of rounds in
which the two ways take turns; a share of 0.5 is all that can be saved where both parts are equal.

"The next clip" is of several clips one after the other, as an evaluation takes them: each is opened and hashed, decoded
beside work after every frame, and there is more work at its end, as of networks that want the whole clip.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[limit] = "1"

import numpy as np

from mmbench.config import EvaluateSettings
from mmbench.engine.pool import run_tasks
from mmbench.engine.ray import Admission, RayCluster, run_on_ray
from mmbench.items import Item
from mmbench.metrics.base import FrameNeed, Maker, Networks
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.video.ahead import AHEAD_BYTES, FramesAhead
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.read import open_clip
from mmbench.video.write import write_video


def clip_at(path: Path, frames: int, height: int, width: int) -> Path:
    """Noise that moves over waves: costs about as much to decode as filmed pictures."""
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 40, (height, width + 4 * frames, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    waves = (100 + 90 * np.sin(x / 40 + y / 70)).astype(np.uint8)[..., None]
    write_video(path, (waves + grain[:, 4 * t : 4 * t + width] for t in range(frames)), 8)
    return path


def seconds(frames: Iterator[Frame], work: Callable[[], object]) -> float:
    """Of one decode with the work done after every frame."""
    start = time.perf_counter()
    for _ in frames:
        work()
    return time.perf_counter() - start


def ahead(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, decoded in a thread of their own."""
    with FramesAhead(frames) as waiting:
        for frame, _ in waiting:
            yield frame


class Device(FrameNeed[float]):
    """A device that is `frame` seconds at work after every frame and `end` after the last."""

    name = "device"

    def __init__(self, frame: float, end: float) -> None:
        self.frame, self.end = frame, end

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[float]:
        """Passes that wait."""
        return Maker(lambda: Waits(self))


class Waits:
    """One clip's waiting."""

    name = "device"

    def __init__(self, device: Device) -> None:
        self.device = device

    def start(self, clip: ClipInfo) -> None:
        """Nothing."""

    def feed(self, index: int, frame: Frame) -> None:
        """A frame's work."""
        time.sleep(self.device.frame)

    def finish(self) -> float:
        """The clip's work."""
        time.sleep(self.device.end)
        return 0.0


def series(items: list[Item], device: Device, foretold: bool) -> float:
    """Seconds of clips in series, the next one begun while one is looked at or not."""
    gatherer = Gatherer(EvaluateSettings(), (), items, Path())
    start = time.perf_counter()
    for item, upcoming in zip(items, [*items[1:], None], strict=True):
        if foretold and upcoming is not None:
            gatherer.expect(upcoming)
        gatherer.gather(item, [device])
    return time.perf_counter() - start


def next_clip(path: Path, a_frame: float, frames: int, rounds: int) -> list[str]:
    """The table of the next clip."""
    items = [Item(f"{n}", "model", "person", path) for n in range(6)]
    lines = ["| work after each frame | at a clip's end | in turn | next clip begun | share |", "|---|---|---|---|---|"]
    for name, frame in {"a third of decoding": 1 / 3, "as long as decoding": 1.0, "three times": 3.0}.items():
        for end in (0.0, 0.25, 1.0):
            device = Device(frame * a_frame, end * frames * a_frame)
            taken = [(series(items, device, False), series(items, device, True)) for _ in range(rounds)]
            one, two = (statistics.median(column) for column in zip(*taken, strict=True))
            share = statistics.median(b / a for a, b in taken)
            lines.append(f"| {name} | {end:g} of its decoding | {one:.2f} s | {two:.2f} s | {share:.2f} |")
    return lines


class Looking:
    """A worker's function: looks at one item, the next one begun meanwhile where it is told of it."""

    def __init__(self, device: Device) -> None:
        self.device, self.gatherer = device, Gatherer(EvaluateSettings(), (), (), Path())

    def expect(self, item: Item) -> None:
        """The item that will follow."""
        self.gatherer.expect(item)

    def __call__(self, item: Item) -> None:
        """One clip."""
        self.gatherer.gather(item, [self.device])


@contextmanager
def looking(device: Device, worker: int) -> Iterator[Looking]:
    """A worker."""
    worker_function = Looking(device)
    try:
        yield worker_function
    finally:
        worker_function.gatherer.close()


def served(items: list[Item], device: Device, by: str, foretold: bool) -> float:
    """Seconds from the first clip's end to the last one's, of one worker: "here" or "ray"."""
    ends: list[float] = []

    def on_result(item: Item, result: None) -> None:
        ends.append(time.perf_counter())

    def lost(item: Item, died: Exception) -> None:
        raise died

    if by == "here":
        run_tasks(items, partial(looking, device), on_result=on_result, foretell=foretold)
    else:
        admission = Admission.AHEAD if foretold else Admission.ALONE
        run_on_ray(
            items, partial(looking, device), RayCluster(), on_result=on_result, lost=lost, admit=lambda item: admission
        )
    assert len(ends) == len(items)
    return ends[-1] - ends[0]


def on_ray(path: Path, a_frame: float, frames: int, rounds: int) -> list[str]:
    """The table of an actor of Ray beside a local worker."""
    import ray

    items = [Item(f"{n}", "model", "person", path) for n in range(9)]
    head = ["work after each frame", "at a clip's end"]
    head += [f"{who}, {how}" for who in ("here", "Ray") for how in ("in turn", "next clip begun", "share")]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    for name, frame in {"a third of decoding": 1 / 3, "as long as decoding": 1.0}.items():
        for end in (0.0, 1.0):
            device = Device(frame * a_frame, end * frames * a_frame)
            cells = [name, f"{end:g} of its decoding"]
            taken: dict[str, list[tuple[float, float]]] = {"here": [], "ray": []}
            for _ in range(rounds):
                for by, pairs in taken.items():
                    pairs.append((served(items, device, by, False), served(items, device, by, True)))
            for pairs in taken.values():
                one, two = (statistics.median(column) for column in zip(*pairs, strict=True))
                cells += [f"{one:.2f} s", f"{two:.2f} s", f"{statistics.median(b / a for a, b in pairs):.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    ray.shutdown()
    return lines


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 720), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = clip_at(Path(folder) / "clip.mp4", given.frames, *given.size)
        source = open_clip(path).source
        alone = statistics.median(seconds(source.frames(), lambda: None) for _ in range(3))
        a_frame = alone / given.frames
        matrix = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
        begun = time.perf_counter()
        for _ in range(20):
            matrix @ matrix
        times = max(1, round(20 * a_frame / (time.perf_counter() - begun)))
        ways: dict[str, Callable[[], object]] = {
            "on a device, a third of decoding": lambda: time.sleep(a_frame / 3),
            "on a device, as long as decoding": lambda: time.sleep(a_frame),
            "on a device, three times decoding": lambda: time.sleep(3 * a_frame),
            "on the processor, as long as decoding": lambda: [matrix @ matrix for _ in range(times)],
        }
        lines = ["| work between frames | one thread | decoding ahead | share |", "|---|---|---|---|"]
        for name, work in ways.items():
            rounds = [
                (seconds(source.frames(), work), seconds(ahead(source.frames()), work)) for _ in range(given.rounds)
            ]
            one, two = (statistics.median(column) for column in zip(*rounds, strict=True))
            share = statistics.median(b / a for a, b in rounds)
            lines.append(f"| {name} | {one:.3f} s | {two:.3f} s | {share:.2f} |")
        waits = f"Six such clips in series, {AHEAD_BYTES / 2**20:g} MiB for what waits."
        lines += ["", "## The next clip", "", waits, ""]
        lines += next_clip(path, a_frame, given.frames, max(1, given.rounds // 2))
        if find_spec("ray"):
            said = (
                "Nine such clips, by one worker of this process and by one actor of a local Ray, in turn in each round."
            )
            lines += ["", "## An actor of Ray", "", said, ""]
            lines += on_ray(path, a_frame, given.frames, max(1, given.rounds // 2))
    size = "x".join(map(str, given.size))
    text = "\n".join(
        [
            "# Decoding ahead",
            "",
            f"`tests/benchmarks/ahead.py`: {given.frames} frames of {size}, {1000 * a_frame:.1f} ms a frame to decode;",
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.",
            "",
            *lines,
            "",
        ]
    )
    print(text)
    if given.out is not None:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
