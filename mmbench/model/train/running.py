"""A run among other things: signals that end it, and its log of steps."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def stopping(ask: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C ask to stop after the step; outside the main thread nothing is caught."""
    before: dict[int, Any] = {}

    def on_signal(number: int, frame: Any) -> None:
        ask()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait

    try:
        for stop in (signal.SIGTERM, signal.SIGINT):
            before[stop] = signal.signal(stop, on_signal)
    except ValueError:
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cut_log(path: Path, total: int) -> None:
    """Drop the lines of steps after the one that is taken up again, and a half line at the end."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["total"] <= total:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
