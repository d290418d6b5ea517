"""Where an evaluation's time goes: loading, decoding, each network, the metrics' own arithmetic, a line a clip."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path

LOADING = "loading: "
"""Before the name of a network: what is paid once a process."""
DECODING, METRICS, REST = "decoding", "metrics", "everything else"
"""Decoding goes on beside the networks: what is counted is how long they wait for it."""
MOVING = "networks moved"
"""To the device and back, where it does not hold all; what a metric's own arithmetic asks for is counted with it."""

_chosen: ContextVar[Path | None] = ContextVar("profile", default=None)


@contextmanager
def profiled(folder: Path) -> Iterator[None]:
    """Let evaluations begun within the block write their times into `folder`, a file a process."""
    before = _chosen.set(folder)
    try:
        yield
    finally:
        _chosen.reset(before)


def chosen_profile() -> Path | None:
    """The folder that `profiled` names here, None outside."""
    return _chosen.get()


class Stopwatch:
    """Seconds by name in one process, for one clip at a time. On a GPU it waits for its work at every reading.

    Without a `folder` nothing is measured or written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / f"{platform.node()}-{current_process().pid}.jsonl"
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []

    @contextmanager
    def watch(self, name: str) -> Iterator[None]:
        """Count what the block takes under `name`, and no longer under the name in whose block it stands."""
        if self._file is None:
            yield
            return
        _wait_for_the_device()
        start = time.perf_counter()
        self._open.append(name)
        try:
            yield
        finally:
            _wait_for_the_device()
            took = time.perf_counter() - start
            self._open.pop()
            self._spent[name] += took
            if self._open:
                self._spent[self._open[-1]] -= took

    def within(self, name: str) -> AbstractContextManager[None]:
        """As `watch` inside another block; elsewhere nothing is counted."""
        return self.watch(name) if self._open else nullcontext()

    def write(self, clip: str, frames: int, whole: float, metrics: float) -> None:
        """End a clip: its line says `whole` seconds, those of the metrics themselves among them."""
        if self._file is None:
            return
        parts = {**self._spent, METRICS: metrics}
        self._spent.clear()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"clip": clip, "frames": frames, "whole": whole, "parts": parts}) + "\n")


@dataclass(frozen=True)
class PartTime:
    """One part of the work over all clips: `seconds`, its `share` of all, and milliseconds a frame (0 for loading)."""

    name: str
    seconds: float
    share: float
    a_frame: float


def read_profile(folder: Path) -> tuple[int, tuple[PartTime, ...]]:
    """The number of clips and the parts' times over all processes, the longest first; loading at the end."""
    spent: defaultdict[str, float] = defaultdict(float)
    clips = frames = 0
    whole = 0.0
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            said: Mapping[str, object] = json.loads(line)
            parts = said["parts"]
            assert isinstance(parts, dict)
            for name, seconds in parts.items():
                spent[name] += seconds
            clips, frames = clips + 1, frames + int(str(said["frames"]))
            whole += float(str(said["whole"]))
    spent[REST] = whole - sum(spent.values())

    def part(name: str) -> PartTime:
        per_frame = 0.0 if name.startswith(LOADING) or not frames else 1000 * spent[name] / frames
        return PartTime(name, spent[name], spent[name] / whole if whole else 0.0, per_frame)

    ordered = sorted(spent, key=lambda name: (name.startswith(LOADING), -spent[name], name))
    return clips, tuple(part(name) for name in ordered)


def _wait_for_the_device() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
