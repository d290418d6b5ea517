"""What a run holds, without holding it: where each row lies, what its numbers were made of, what failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmbench.errors import ManifestError
from mmbench.runs.evaluate.inputs import digest_of
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError, SetRow, item_dict
from mmbench.runs.evaluate.store import ROWS, attempt_and_worker, read_lines, row_files
from mmbench.scores import Score


class RowSource(NamedTuple):
    """Where the scores lie that were made of `inputs`; files of rows only grow, so another process finds them too."""

    path: Path
    start: int
    length: int
    inputs: str

    def row(self) -> ItemRow:
        """The row. Raises ManifestError where it is not there any more."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.start)
                return ItemRow.from_json(json.loads(stream.read(self.length)))
        except (OSError, ValueError, KeyError, TypeError) as cause:
            said = f"{self.path}: changed while it was read: {cause}."
            raise ManifestError(said, "Run the command again.") from cause


def scores_at(sources: Mapping[str, RowSource]) -> dict[str, tuple[Score, ...]]:
    """The scores of each source, by the same names; a row that several share is read once."""
    rows: dict[tuple[Path, int], ItemRow] = {}
    found = {}
    for name, source in sources.items():
        place = (source.path, source.start)
        if place not in rows:
            rows[place] = source.row()
        found[name] = tuple(score for score in rows[place].scores if score.inputs == source.inputs)
    return found


class RowPlace(NamedTuple):
    """Where a row lies: number of its file in order of time, first byte and bytes."""

    file: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Brief:
    """What a plan has to know of a row. `item` is the digest of what the item says (`item_digest`).

    `names` and `inputs` are those of its scores, in order; `lacks` the scores that are no numbers, without details and
    inputs; `weights` the networks behind the numbers.
    """

    place: RowPlace
    model: str
    item: str
    clip: MeasuredFile | None
    error: RowError | None
    names: tuple[str, ...]
    inputs: tuple[str, ...]
    lacks: tuple[Score, ...]
    weights: tuple[tuple[str, str], ...]

    @property
    def says_of_what(self) -> bool:
        """Whether the row tells what it was made of; those of the first version do not."""
        made = self.error.inputs if self.error else self.clip.inputs if self.clip else ""
        return bool(made)


def item_digest(item: dict[str, Any]) -> str:
    """Digest of an item as a row holds it."""
    return digest_of(item)


@dataclass
class _File:
    """How far a file of rows has been read. `order` is its place in time."""

    order: tuple[int, str]
    number: int
    bytes: int = 0
    lines: int = 0


@dataclass
class RowIndex:
    """All rows of a run by item and by what they were made of, read from where the last look ended.

    So a number that held before an edit holds again when the edit is taken back. Of several rows of an item the newest
    counts. `failed` are inputs whose numbers are not there because something broke or this machine lacked something.
    Files that are `passed` over are not read. A `light` index knows rows by item alone.
    """

    run: Path
    briefs: dict[str, Brief] = field(default_factory=dict)
    sets: dict[str, SetRow] = field(default_factory=dict)
    scores: dict[str, RowPlace] = field(default_factory=dict)
    clips: dict[str, MeasuredFile] = field(default_factory=dict)
    errors: dict[str, RowError] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    passed: frozenset[Path] = frozenset()
    light: bool = False
    _files: dict[Path, _File] = field(default_factory=dict)
    _paths: list[Path] = field(default_factory=list)
    _once: dict[Any, Any] = field(default_factory=dict)
    _set_places: dict[str, RowPlace] = field(default_factory=dict)

    @classmethod
    def read(cls, run: Path) -> RowIndex:
        """What the rows of a run say. Raises ManifestError for a damaged line."""
        index = cls(run)
        index.refresh(tell=True)
        return index

    @classmethod
    def behind(cls, run: Path, seen: Mapping[str, tuple[int, int]], *without: Path) -> RowIndex:
        """Of what is written behind `seen` (of another index), in other files than `without`: for a process's own."""
        index = cls(run, passed=frozenset(without))
        for name, (start, lines) in seen.items():
            path = run / ROWS / name
            index._files[path] = _File(attempt_and_worker(path), len(index._paths), start, lines)
            index._paths.append(path)
        return index

    def seen(self) -> dict[str, tuple[int, int]]:
        """How far every file was read: bytes and lines, by its name."""
        return {path.name: (file.bytes, file.lines) for path, file in self._files.items()}

    def refresh(self, *, tell: bool = False) -> list[str]:
        """Take in what was written since the last look; ids of its items. Raises ManifestError for a damaged line."""
        seen: list[str] = []
        for path in sorted(row_files(self.run, tell=tell), key=attempt_and_worker):
            if path in self.passed:
                continue
            known = self._files.get(path)
            if known is None:
                known = self._files[path] = _File(attempt_and_worker(path), len(self._paths))
                self._paths.append(path)
            for line in read_lines(path, known.bytes, known.lines, tell=tell):
                known.bytes, known.lines = line.end, line.number
                if line.data is None:
                    continue
                place = RowPlace(known.number, line.start, line.end - line.start)
                try:
                    if line.data["kind"] == "item":
                        seen.append(self._take_item(line.data, place))
                    else:
                        self._take_set(SetRow.from_json(line.data), place)
                except (KeyError, TypeError, ValueError, AttributeError) as cause:
                    raise line.damaged(f"{type(cause).__name__}: {cause}") from cause
        return seen

    def row(self, item: str) -> ItemRow:
        """The newest row of an item, whole. Raises KeyError, ManifestError."""
        place = self.briefs[item].place
        return RowSource(self._paths[place.file], place.start, place.length, "").row()

    def rows(self, items: Iterable[str]) -> Iterator[ItemRow]:
        """The newest rows of items, one in memory at a time."""
        return map(self.row, items)

    def source(self, inputs: str) -> RowSource:
        """Where the scores lie that were made of `inputs`. Raises KeyError where none were."""
        place = self.scores[inputs]
        return RowSource(self._paths[place.file], place.start, place.length, inputs)

    def _take_item(self, data: dict[str, Any], place: RowPlace) -> str:
        id_, scores = str(data["item"]["id"]), data["scores"]
        clip = _clip(data["clip"]) if data["clip"] else None
        error = RowError(**data["error"]) if data["error"] else None
        inputs = tuple(self._one(str(score.get("inputs", ""))) for score in scores)
        for key in () if self.light else set(inputs) - {""}:
            if self._newer(place, self.scores.get(key)):
                self.scores[key] = place
                broke = any(s["status"] == "error" or s.get("unmet") for s in scores if s["inputs"] == key)
                (self.failed.add if broke else self.failed.discard)(key)
        if clip is not None and clip.inputs:
            self.clips[clip.inputs] = clip
        if error is not None and error.inputs:
            self.errors[error.inputs] = error
        before = self.briefs.get(id_)
        if self._newer(place, before.place if before else None):
            self.briefs[id_] = Brief(
                place,
                self._one(str(data["item"]["model"])),
                item_digest(data["item"]),
                clip,
                error,
                self._one(tuple(str(score["metric"]) for score in scores)),
                () if self.light else inputs,
                self._lacks([score for score in scores if score["status"] != "ok"]),
                self._one(tuple(sorted(_weights(scores).items()))),
            )
        return id_

    def _take_set(self, row: SetRow, place: RowPlace) -> None:
        if self._newer(place, self._set_places.get(row.model)):
            self.sets[row.model], self._set_places[row.model] = row, place

    def _newer(self, place: RowPlace, other: RowPlace | None) -> bool:
        """Whether a row is newer than another one: by its command, by its worker, by its line."""
        if other is None:
            return True
        mine, its = (self._files[self._paths[at.file]].order for at in (place, other))
        return (mine, place.start) >= (its, other.start)

    def _one(self, value: Any) -> Any:
        """The value that is equal and was there first: what many rows say is held once."""
        return self._once.setdefault(value, value)

    def _lacks(self, scores: Sequence[dict[str, Any]]) -> tuple[Score, ...]:
        """Scores that are no numbers, without what differs from clip to clip."""
        keys = tuple((s["metric"], s["status"], s["reason"], s["remedy"], bool(s.get("unmet"))) for s in scores)
        if keys not in self._once:
            self._once[keys] = tuple(Score(m, s, reason=why, remedy=do, unmet=un) for m, s, why, do, un in keys)
        found: tuple[Score, ...] = self._once[keys]
        return found


def _clip(data: dict[str, Any]) -> MeasuredFile:
    return MeasuredFile(**{**data, "warnings": tuple(data["warnings"])})


def _weights(scores: Sequence[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for score in scores:
        if score.get("provenance"):
            found.update(score["provenance"]["weights"])
    return found


def same_as(brief: Brief, row: ItemRow) -> bool:
    """Whether a row says what another one said, the numbers being known by what they were made of."""
    mine = (item_digest(item_dict(row.item)), row.clip, row.error)
    made = tuple(score.metric for score in row.scores), tuple(score.inputs for score in row.scores)
    return mine == (brief.item, brief.clip, brief.error) and made == (brief.names, brief.inputs)
