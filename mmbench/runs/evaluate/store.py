"""The store: append-only JSON lines, one file a worker, every line on disk before the next clip begins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any

from mmbench.errors import ManifestError
from mmbench.runs.evaluate.rows import ItemRow, SetRow

ROWS = "rows"


class RowWriter:
    """Appends rows to a file of its own. A row is one line, flushed to the disk before `add` returns."""

    def __init__(self, run: Path, name: str) -> None:
        folder = run / ROWS
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.jsonl"
        # A file name is used once: a killed writer's torn last line can then never run into a new row.
        self._file: BufferedWriter = self.path.open("xb")

    def add(self, row: ItemRow | SetRow) -> None:
        """Write one row and wait until it is on the disk."""
        line = json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        # A file's name may hold bytes that are no UTF-8: as JSON's own escapes they come back as they were.
        self._file.write(line.encode(errors="backslashreplace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self.path.stat().st_size == 0:
            self.path.unlink()


def next_attempt(run: Path) -> int:
    """Number of the next invocation on this run, 0 for the first: row files are named `<attempt>-<worker>`."""
    names = (path.stem.split("-")[0] for path in (run / ROWS).glob("*.jsonl"))
    return 1 + max((int(name) for name in names if name.isdigit()), default=-1)


def read_rows(run: Path) -> tuple[list[ItemRow], list[SetRow]]:
    """All rows of a run, the newest attempt's where one was measured again, in the order they were written.

    A torn last line (the writer was killed) is not a row. Raises ManifestError when `run` holds no rows folder
    or a line in the middle of a file is damaged.
    """
    if not (run / ROWS).is_dir():
        raise _no_run(run)
    items: dict[str, ItemRow] = {}
    sets: dict[str, SetRow] = {}
    for path in sorted((run / ROWS).glob("*.jsonl"), key=_attempt_and_worker):
        for data in _lines(path):
            if data["kind"] == "item":
                row = ItemRow.from_json(data)
                items[row.item.id] = row
            else:
                sets[data["model"]] = SetRow.from_json(data)
    return list(items.values()), list(sets.values())


def _no_run(run: Path) -> ManifestError:
    if not run.exists():
        return ManifestError(f"{run}: no such folder.", "Name the folder that `mmbench evaluate` wrote.")
    # `mmbench run` and `mmbench ablate` keep their rows one level below.
    inner = sorted(path.parent for path in run.glob(f"*/{ROWS}") if path.is_dir())
    remedy = f"Name {inner[0]}." if inner else "Name the folder that `mmbench evaluate` wrote."
    return ManifestError(f"{run}: not a run (it has no folder {ROWS!r}).", remedy)


def _attempt_and_worker(path: Path) -> tuple[int, str]:
    attempt, _, worker = path.stem.partition("-")
    return int(attempt), worker


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    pieces = path.read_bytes().split(b"\n")
    for number, piece in enumerate(pieces[:-1], start=1):
        try:
            yield json.loads(piece)
        except ValueError as cause:
            raise ManifestError(
                f"{path}: line {number} is damaged: {cause}.", "Delete that line and run the command again."
            ) from cause
