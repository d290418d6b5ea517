"""The store: append-only JSON lines, one file a worker, every line on disk before the next clip begins."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from mmbench.errors import ManifestError
from mmbench.runs.evaluate.record import named_items
from mmbench.runs.evaluate.rows import SCHEMA, ItemRow, SetRow

ROWS = "rows"
_WHOLE = ("seed", "prompt_index", "step")


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


def next_attempt(run: Path, taken: Iterable[int] = ()) -> int:
    """Number of the next invocation on this run, 0 for the first: row files are named `<attempt>-<worker>`.

    `taken` are those of invocations that may not have written yet.
    """
    return 1 + max((*taken, *(attempt_and_worker(path)[0] for path in row_files(run))), default=-1)


def read_rows(
    run: Path, make: Callable[[dict[str, Any]], ItemRow] = ItemRow.from_json
) -> tuple[list[ItemRow], list[SetRow]]:
    """The rows of a run's clips and models, the newest where one was measured again, in the order they were written.

    Clips that the run's record names no longer are left out, where it can be read. A torn last line (the writer was
    killed) is not a row. Raises ManifestError when `run` holds no rows folder or a line in the middle of a file is
    damaged. Files that are no rows of ours, and rows of a newer version, are passed over with a warning.
    `make` gives a clip's row from its line; one that keeps less raises the same errors.
    """
    items: dict[str, ItemRow] = {}
    sets: dict[str, SetRow] = {}
    for row in all_rows(run, make):
        if isinstance(row, ItemRow):
            items[row.item.id] = row
        else:
            sets[row.model] = row
    named = named_items(run)
    rows = [row for row in items.values() if named is None or row.item.id in named]
    models = {row.item.model for row in rows}
    return rows, [row for row in sets.values() if row.model in models]


def all_rows(run: Path, make: Callable[[dict[str, Any]], ItemRow] = ItemRow.from_json) -> Iterator[ItemRow | SetRow]:
    """Every row that was ever written, the oldest first. `make` and what is raised are those of `read_rows`."""
    if not (run / ROWS).is_dir():
        raise _no_run(run)
    for path in sorted(row_files(run, tell=True), key=attempt_and_worker):
        for line in read_lines(path, tell=True):
            if line.data is None:
                continue
            try:
                yield make(line.data) if line.data["kind"] == "item" else SetRow.from_json(line.data)
            except (KeyError, TypeError, ValueError, AttributeError) as cause:
                raise line.damaged(f"{type(cause).__name__}: {cause}") from cause


def _no_run(run: Path) -> ManifestError:
    if not run.exists():
        return ManifestError(f"{run}: no such folder.", "Name the folder that `mmbench evaluate` wrote.")
    # `mmbench run` and `mmbench ablate` keep their rows one level below.
    inner = sorted(path.parent for path in run.glob(f"*/{ROWS}") if path.is_dir())
    remedy = f"Name {inner[0]}." if inner else "Name the folder that `mmbench evaluate` wrote."
    return ManifestError(f"{run}: not a run (it has no folder {ROWS!r}).", remedy)


def row_files(run: Path, *, tell: bool = False) -> list[Path]:
    """The files that a `RowWriter` made; what else lies there is named where it matters."""
    files = [path for path in (run / ROWS).glob("*.jsonl") if not path.name.startswith(".")]
    ours = [path for path in files if re.fullmatch(r"\d{4,9}-\w+", path.stem)]
    if tell and (others := sorted(path.name for path in set(files) - set(ours))):
        warnings.warn(f"{run / ROWS}: {', '.join(others)}: not written by mmbench, passed over.", stacklevel=3)
    return ours


def attempt_and_worker(path: Path) -> tuple[int, str]:
    """What the name of a file of rows says: the command's number, and who of it wrote."""
    attempt, _, worker = path.stem.partition("-")
    return int(attempt), worker


@dataclass(frozen=True, slots=True)
class RowLine:
    """One line of a file of rows: its bytes are `start` to `end`. `data` is None for a row of a newer version."""

    path: Path
    number: int
    start: int
    end: int
    data: dict[str, Any] | None

    def damaged(self, why: str) -> ManifestError:
        """What to raise where the line holds no row."""
        return _damaged(self.path, self.number, why)


def read_lines(path: Path, start: int = 0, number: int = 0, *, tell: bool = False) -> Iterator[RowLine]:
    """The lines of a file of rows from byte `start`, behind line `number`, one in memory at a time.

    A torn last line, whose writer was killed or is still at it, is none. Raises ManifestError for a damaged one.
    """
    newer = 0
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            for text in stream:
                if not text.endswith(b"\n"):
                    break
                number += 1
                data = _parsed(path, number, text)
                if is_newer := data.get("schema", 0) > SCHEMA:
                    newer += 1
                yield RowLine(path, number, start, start + len(text), None if is_newer else data)
                start += len(text)
    except FileNotFoundError:  # a writer that had nothing to write took its file away
        return
    if newer and tell:
        warnings.warn(f"{path}: {newer} rows of a newer version of mmbench are passed over.", stacklevel=2)


def _parsed(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        data = _loaded(text)
    except (ValueError, RecursionError) as cause:
        raise _damaged(path, number, str(cause)) from cause
    if not isinstance(data, dict):
        raise _damaged(path, number, "it is no row")
    return data


def _loaded(text: bytes) -> Any:
    """What `json.loads` gives for a row, two to three times as fast. Raises ValueError, RecursionError.

    Whole numbers beyond 64 bits stand in an item's fields alone; elsewhere they would be rounded.
    """
    try:
        data = orjson.loads(text)
    except ValueError:  # names that are no UTF-8, or damage, of which json tells more
        return json.loads(text)
    item = data.get("item") if isinstance(data, dict) else None
    if isinstance(item, dict) and any(type(item.get(name)) is float for name in _WHOLE):
        return json.loads(text)  # a seed beyond 64 bits, which orjson rounds
    return data


def _damaged(path: Path, number: int, why: str) -> ManifestError:
    return ManifestError(f"{path}: line {number} is damaged: {why}.", "Delete that line and run the command again.")
