"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere; both from the first second."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmbench.cli.words import plain

if TYPE_CHECKING:
    from mmbench import files

PLAIN_EVERY = 10.0
"""Seconds between two plain lines, so that logs stay short."""

PREPARING = "preparing"


class Pace:
    """Rate and time left of each phase, measured from the phase's own beginning and without what was done before it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, tuple[float, int]] = {}

    def tell(self, done: int, total: int, what: str) -> str:
        """ "0.42/s, 0:12 left", in hours and minutes; empty while nothing can be said."""
        now = self._clock()
        start, first = self._began.setdefault(what, (now, done))
        if done <= first or now <= start:
            return ""
        rate = (done - first) / (now - start)
        left = f", {hours((total - done) / rate)} left" if done < total else ""
        return f"{rate:.2f}/s{left}"


def hours(seconds: float) -> str:
    """Hours and minutes, "1:05"; what has begun of a minute counts."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


@contextmanager
def progress_bar() -> Iterator[files.Progress]:
    """Yields progress(done, total, what), the callback the library functions take."""
    if sys.stderr.isatty():
        with _rich_bar() as callback:
            yield callback
    else:
        yield _plain()


@contextmanager
def _rich_bar() -> Iterator[files.Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("{task.fields[pace]}", markup=False)),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        pace = Pace()
        tasks: dict[str, TaskID] = {PREPARING: bar.add_task(PREPARING, total=None, pace="")}

        def callback(done: int, total: int, what: str) -> None:
            if PREPARING in tasks:
                bar.remove_task(tasks.pop(PREPARING))
            if what not in tasks:
                tasks[what] = bar.add_task(plain(what), total=total, completed=done, pace="")
            bar.update(tasks[what], completed=done, total=total, pace=pace.tell(done, total, what))

        yield callback


def _plain() -> files.Progress:
    told: dict[str, float] = {}
    pace = Pace()
    print(f"{PREPARING} ...", file=sys.stderr, flush=True)

    def callback(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        said = pace.tell(done, total, what)
        if done not in (0, total) and what in told and now - told[what] < PLAIN_EVERY:
            return
        told[what] = now
        print(f"{plain(what)}: {done}/{total}{f' ({said})' if said else ''}", file=sys.stderr, flush=True)

    return callback
