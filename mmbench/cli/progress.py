"""A progress bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmbench import files

PLAIN_EVERY = 10.0
"""Seconds between two plain lines, so that logs stay short."""


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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.fields[rate]}"), TimeRemainingColumn()),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def callback(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, completed=done, rate="")
            task = next(t for t in bar.tasks if t.id == tasks[what])
            rate = f"{task.finished_speed or task.speed or 0:.2f}/s"
            bar.update(tasks[what], completed=done, total=total, rate=rate)

        yield callback


def _plain() -> files.Progress:
    began: dict[str, tuple[float, int]] = {}
    told: dict[str, float] = {}

    def callback(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        start, first = began.setdefault(what, (now, done))
        if done not in (0, total) and now - told.get(what, start) < PLAIN_EVERY:
            return
        told[what] = now
        rate = (done - first) / (now - start) if now > start else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        speed = f" ({rate:.2f}/s{left})" if rate else ""
        print(f"{what}: {done}/{total}{speed}", file=sys.stderr, flush=True)

    return callback
