"""Stages that resume: each writes one line for every piece of work it has done, and goes on after the last one."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar

from mmbench.data.types import Candidate, Dropped
from mmbench.engine.shard import Shard
from mmbench.errors import ManifestError, MediaError
from mmbench.files import Progress, sha256, sha256_file

VERSION = 1
"""Raise it with any change that makes a stage decide otherwise."""
UNREADABLE = "unreadable"
"""The filter of whatever cannot be opened; every stage has it."""
SYNC_SECONDS = 1.0
"""A loss of power may take this much; a killed process loses the piece at hand."""

Atom = tuple[Candidate, ...]
"""One piece of a stage's work: one candidate, or those of a shard."""


@dataclass(frozen=True)
class Outcome:
    """What a stage made of one piece of work."""

    kept: tuple[Candidate, ...] = ()
    dropped: tuple[Dropped, ...] = ()


class Stage(ABC):
    """One step of a source. `decide` is a function of the piece and of what was decided before it, so that a stage
    that was killed goes on as if it had not been. `filters` are the reasons to drop, in their order.
    """

    name: str
    filters: ClassVar[tuple[str, ...]] = ()
    threads: int = 1
    splits: ClassVar[bool] = True
    """Whether parts of what it is given can be decided about apart; False where all have to be compared."""
    feeds: bool = True
    """Whether the next stage goes on with what this one kept, or with what it was given."""

    def decides(self) -> object:
        """JSON values of all that its decisions hang on."""
        return None

    def atoms(self, rows: Iterable[Candidate]) -> Iterator[Atom]:
        """The pieces of work."""
        return ((row,) for row in rows)

    def pieces(self, given: int) -> int:
        """About how many pieces of work so many candidates are, for the progress."""
        return given

    def open(self) -> None:  # noqa: B027 - most need nothing
        """Make what is needed; called only when something is left to do."""

    def close(self) -> None:  # noqa: B027
        """Give back what `open` made."""

    def recall(self, outcome: Outcome) -> None:  # noqa: B027
        """Take note of an outcome, an earlier run's too, for the decisions after it."""

    @abstractmethod
    def decide(self, atom: Atom) -> Outcome:
        """Keep or drop. A MediaError drops the piece as unreadable; any other error ends the run."""


@dataclass(frozen=True)
class Counts:
    """How many a stage was given, kept, and dropped by each filter."""

    stage: str
    kept: int
    dropped: dict[str, int]
    complete: bool

    @property
    def given(self) -> int:
        """Those that were decided about."""
        return self.kept + sum(self.dropped.values())


class Ledger:
    """The file of one stage: a head, one line a piece of work, and an end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> Iterator[dict[str, Any]]:
        """The outcomes so far, without head and end; nothing where there is no file."""
        return (line for line in self._all() if "of" in line)

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes so far."""
        for line in self.lines():
            kept = tuple(Candidate.read(row) for row in line["kept"])
            yield Outcome(kept, tuple(Dropped(**row) for row in line["dropped"]))

    def kept(self) -> Iterator[Candidate]:
        """All that was kept, in order."""
        return (row for outcome in self.outcomes() for row in outcome.kept)

    def head(self) -> dict[str, Any] | None:
        """The first line; None where there is no file."""
        return next(self._all(), None)

    def counts(self) -> Counts | None:
        """Counts with every filter of the stage, zeros too; None where there is no file."""
        head, kept, dropped, complete = None, 0, Counter[str](), False
        for line in self._all():
            if "stage" in line:
                head = line
            elif "of" in line:
                kept += len(line["kept"])
                dropped.update(row["filter"] for row in line["dropped"])
            else:
                complete = True
        if head is None:
            return None
        named = {name: dropped[name] for name in (*head["filters"], *sorted(set(dropped) - set(head["filters"])))}
        return Counts(head["stage"], kept, named, complete)

    def _all(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.endswith(b"\n"):
                    return  # what a killed process was about to write
                try:
                    yield json.loads(line)
                except ValueError as cause:
                    raise ManifestError(
                        f"{self.path}: line {number} is damaged: {cause}.", "Delete the file and build again."
                    ) from cause

    def mend(self) -> None:
        """Cut off a last line that was not written to its end."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as stream:
            whole = 0
            for line in stream:
                whole += len(line) if line.endswith(b"\n") else 0
            stream.truncate(whole)


def run_stages(
    stages: Sequence[Stage], start: Candidate, folder: Path, progress: Progress, shard: Shard | None = None
) -> None:
    """Run stages one after the other, each on what the one before kept; `start` is the first one's only piece.

    Of what the first one lists, those after it see `shard`, by where candidates come from.
    """
    part = shard or Shard()

    def first() -> Iterable[Candidate]:
        return (start,)

    rows: Callable[[], Iterable[Candidate]] = first
    digest, given = sha256(json.dumps(start.document(), sort_keys=True).encode()), 1
    for stage in stages:
        ledger = Ledger(folder / f"{stage.name}.jsonl")
        _run(stage, ledger, rows(), digest, given, progress)
        if not stage.feeds:
            continue
        counts = ledger.counts()
        rows, digest, given = ledger.kept, sha256_file(ledger.path), counts.kept if counts else 0
        if stage is stages[0] and part.count > 1:
            mine = part.of(ledger.kept(), lambda row: row.origin or row.key)
            rows, digest, given = partial(iter, mine), sha256(f"{digest} {part}".encode()), len(mine)


def _run(stage: Stage, ledger: Ledger, rows: Iterable[Candidate], digest: str, given: int, progress: Progress) -> None:
    ledger.mend()
    head = {
        "stage": stage.name,
        "filters": [*stage.filters, UNREADABLE],
        "made_of": sha256(json.dumps([VERSION, stage.decides(), digest], sort_keys=True).encode()),
    }
    if (found := ledger.head()) is not None and found != head:
        raise ManifestError(
            f"{ledger.path}: it was made with other settings or of other input.",
            "Name another folder with --out, or delete this file and build this stage and those after it again.",
        )
    done, last, given = 0, "", stage.pieces(given)
    for line, outcome in zip(ledger.lines(), ledger.outcomes(), strict=True):
        stage.recall(outcome)
        done, last = done + 1, line["of"]
    progress(done, max(given, done), stage.name)
    if (counts := ledger.counts()) is not None and counts.complete:
        return
    atoms = stage.atoms(rows)
    for position, atom in enumerate(islice(atoms, done)):
        if position == done - 1 and atom[0].key != last:
            raise ManifestError(f"{ledger.path}: it ends with {last!r}, not {atom[0].key!r}.", "Delete it.")
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    with ledger.path.open("ab") as stream:
        write = _Writer(stream)
        if found is None:
            write(head)
        stage.open()
        try:
            for atom, outcome in _decided(stage, atoms):
                stage.recall(outcome)
                kept, dropped = [row.document() for row in outcome.kept], [asdict(row) for row in outcome.dropped]
                write({"of": atom[0].key, "kept": kept, "dropped": dropped})
                done += 1
                progress(done, max(given, done), stage.name)
        finally:
            stage.close()
        write({"end": done})
        write.sync()


class _Writer:
    """Lines to a file: at once to the system, to the disk about every second."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._synced = stream, time.monotonic()

    def __call__(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n")
        self._stream.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


def _decide(stage: Stage, atom: Atom) -> Outcome:
    try:
        return stage.decide(atom)
    except MediaError as cause:
        return Outcome(dropped=tuple(Dropped(row.key, UNREADABLE, str(cause), row.file) for row in atom))


def _decided(stage: Stage, atoms: Iterator[Atom]) -> Iterator[tuple[Atom, Outcome]]:
    """Every piece and its outcome in order; several at once where the stage waits rather than works."""
    if stage.threads <= 1:
        for atom in atoms:
            yield atom, _decide(stage, atom)
        return
    pool = ThreadPoolExecutor(stage.threads)
    waiting: deque[tuple[Atom, Future[Outcome]]] = deque()
    try:
        for atom in atoms:
            waiting.append((atom, pool.submit(_decide, stage, atom)))
            if len(waiting) >= 4 * stage.threads:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
