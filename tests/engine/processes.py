"""Which of this test's own processes serve tasks of Ray: only those may a test kill."""

from __future__ import annotations

import os
from pathlib import Path


def served_here() -> list[int]:
    """Processes of actors below this one, by what Linux says of them; other people's on this machine are left alone."""
    parents: dict[int, int] = {}
    serving = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(state[1])
        if command.startswith(b"ray::_Served") and state[0] != "Z":
            serving.append(int(folder.name))
    return [number for number in sorted(serving) if _is_below(number, os.getpid(), parents)]


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number > 1 and number != top:
        number = parents.get(number, 0)
    return number == top
