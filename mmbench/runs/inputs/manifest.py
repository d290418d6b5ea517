"""Manifests: items of a table (CSV, or JSON records), and a table of items for a person to finish."""

from __future__ import annotations

import ast
import difflib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mmbench.errors import ManifestError
from mmbench.files import read_json
from mmbench.items import Item
from mmbench.names import PathFinder, few, readable
from mmbench.remote.schemes import is_url
from mmbench.runs.inputs.collection import Collection, collected
from mmbench.runs.inputs.references import identities_of
from mmbench.tables import Line, TableFile, printable, rate, read_table, whole_number, write_table

MANIFEST_COLUMNS = (
    *("id", "model", "identity", "group", "video", "references", "shown"),
    *("prompt", "prompt_long", "prompt_index", "seed", "fps", "condition", "conditioned_on"),
)
KNOWN = frozenset((*MANIFEST_COLUMNS, "step", "system"))
_LONGEST_NAME, _LONGEST_PATH = 255, 4096
T = TypeVar("T")


def collect_manifest(path: Path) -> Collection:
    """Items of a manifest as `read_manifest` describes it, with notes on what was overruled, merged or passed over."""
    table = _records(path) if path.suffix.lower() == ".json" else read_table(path, KNOWN)
    header = set(table.columns)
    lacking = {"video"} - header
    if lacking or not header & {"model", "system"}:
        lacking |= set() if header & {"model", "system"} else {"model"}
        raise ManifestError(
            f"{path}: the columns {', '.join(sorted(lacking))} are missing; it has {', '.join(table.columns)}.",
            "A manifest needs at least model and video; references for everything about faces.",
        )
    finder = PathFinder(path.parent)
    read = [_Cells(table, line, finder).item() for line in table.lines]
    nameless = [item.references for item in read if not item.identity and item.references]
    names = identities_of(nameless)
    items = [item if item.identity else replace(item, identity=_identity(item, names)) for item in read]
    lines = {id(item): line.number for item, line in zip(items, table.lines, strict=True)}
    notes = [*table.notes, *_notes(path, table, finder)]
    return collected(items, notes, path, lambda item: f"line {lines[id(item)]} of {path.name}")


def write_manifest(path: Path, items: Sequence[Item]) -> None:
    """Write items as a manifest that `read_manifest` reads as the same items; paths are relative where they can be."""
    base = path.parent.absolute()
    extra = dict.fromkeys(name for item in items for name in item.extra)
    steps = ("step",) if any(item.step is not None for item in items) else ()

    def row(item: Item) -> dict[str, object]:
        return {
            **{name: getattr(item, name) for name in (*MANIFEST_COLUMNS, *steps)},
            "video": _relative(item.video, base),
            "references": _joined([_relative(reference, base) for reference in item.references]),
            "shown": _joined([_relative(reference, base) for reference in item.shown]),
            "condition": _relative(item.condition, base) if item.condition else None,
            "conditioned_on": ";".join(item.conditioned_on),
            **item.extra,
        }

    write_table(path, (*MANIFEST_COLUMNS, *steps, *extra), map(row, items))


class _Cells:
    """The cells of one line as the fields of an item; errors name the line."""

    def __init__(self, table: TableFile, line: Line, finder: PathFinder) -> None:
        self.line, self.finder, self.commas = line, finder, table.decimal_comma
        self.where = f"{table.path}, line {line.number}"

    def item(self) -> Item:
        line = self.line
        model = readable(line.name("model") or line.name("system"))
        if not model:
            raise self.error("the cell 'model' is empty.", "Fill it in.")
        video, condition = self.written("video"), self.written("condition")
        if not video:
            raise self.error("the cell 'video' is empty.", "Fill it in.")
        stem = readable(Path(video).with_suffix("").as_posix())
        references = self.pictures("references")
        return Item(
            id=readable(line.name("id")) or f"{model}/{stem}",
            model=model,
            identity=readable(line.name("identity")),
            video=self.path("video", video),
            references=references,
            shown=self.shown(references),
            group=readable(line.name("group")) or None,
            prompt=self.text("prompt"),
            prompt_long=self.text("prompt_long"),
            prompt_index=self.whole("prompt_index", 0),
            seed=self.whole("seed"),
            fps=self.number("fps", rate),
            condition=self.path("condition", condition) if condition else None,
            step=self.whole("step", 0),
            conditioned_on=tuple(self.several(line.name("conditioned_on"))),
            extra={name: cell for name, cell in line.cells.items() if name not in KNOWN and cell},
        )

    def error(self, cause: str, remedy: str = "Mend the cell.") -> ManifestError:
        return ManifestError(f"{self.where}: {cause}", remedy)

    def path(self, column: str, written: str) -> Path:
        if column == "video":  # whatever is wrong with it is said in its row
            return self.finder.find(written)
        parts = written.replace("\\", "/").split("/")
        if len(_bytes(written)) > _LONGEST_PATH or any(len(_bytes(part)) > _LONGEST_NAME for part in parts):
            raise self.error(f"{column}: no system takes a name as long as {written[:40]!r}... ({len(written)}).")
        if "\0" in written:
            raise self.error(f"{column}: {written[:60]!r} holds a NUL, which no name can.")
        return self.finder.find(written)

    def pictures(self, column: str) -> tuple[Path, ...]:
        return tuple(self.path(column, name) for name in self.several(self.written(column)))

    def shown(self, references: Sequence[Path]) -> tuple[Path, ...]:
        """Those of the references that the model was given. Raises ManifestError for a picture that is none of them."""
        found = self.pictures("shown")
        if strange := [path for path in found if path not in references]:
            raise self.error(
                f"shown names {strange[0].name!r}, which is not among the references.",
                "List it there too: `shown` says which of a person's pictures the model was given.",
            )
        return found

    def written(self, column: str) -> str:
        """A path as written, or without the blanks around it where there is no file of that very name."""
        whole = self.line.cells.get(column, "")
        if whole.strip() and self.finder.lies(whole):
            return whole
        return self.line.name(column)

    def several(self, written: str) -> list[str]:
        """The names in a cell of references: one that exists, a list as JSON or Python write it, or cut at ';'."""
        if ";" in written and self.finder.lies(written):
            return [written]
        if written.startswith("[") and written.endswith("]"):
            for read in (json.loads, ast.literal_eval):
                try:
                    names = read(written)
                except (ValueError, SyntaxError, RecursionError, MemoryError):
                    continue
                if isinstance(names, list) and all(isinstance(name, str) for name in names):
                    return [name for name in names if name]
        return [name.strip(" \t\r\n") for name in written.split(";") if name.strip()]

    def text(self, column: str) -> str | None:
        text = self.line.text(column)
        if text is not None and not printable(text):
            raise self.error(f"{column} holds bytes that are no UTF-8.", "Save the table as CSV in UTF-8.")
        return text

    def whole(self, column: str, least: int | None = None) -> int | None:
        value = self.number(column, whole_number)
        if value is not None and least is not None and value < least:
            raise self.error(f"{column} is {value}, below {least}.")
        return value

    def number(self, column: str, read: Callable[[str, bool], T]) -> T | None:
        written = self.line.name(column)
        if not written:
            return None
        try:
            return read(written, self.commas)
        except ValueError as cause:
            raise self.error(f"{column} {cause}.") from cause


def _identity(item: Item, names: dict[tuple[Path, ...], str]) -> str:
    """Of a clip without a name for whom it shows: by its references, without any each video's own name."""
    return names[item.references] if item.references else readable(item.video.stem)


def _notes(path: Path, table: TableFile, finder: PathFinder) -> list[str]:
    notes = []
    both = [line for line in table.lines if line.name("model") and line.name("system")]
    if overruled := [line for line in both if line.name("model") != line.name("system")]:
        notes.append(
            f"{path.name}: `model` overrules another `system` in line {few(line.number for line in overruled)}"
        )
    for column in table.columns:
        near = difflib.get_close_matches(column.lower(), sorted(KNOWN), n=1, cutoff=0.8)
        if near and column not in KNOWN:
            notes.append(f"{path.name}: the column {column!r} is kept but not used (did you mean {near[0]!r}?)")
    renamed = []
    for line in table.lines:
        for column in ("video", "condition"):
            written = line.name(column)
            if not written or "\0" in written or finder.elsewhere(written):
                continue
            if finder.find(written) != finder.base / written:
                found = os.path.relpath(finder.find(written), finder.base)
                renamed.append(f"line {line.number}: {readable(written)} is read as {readable(found)}")
    if renamed:
        notes.append(f"{path.name}, {few(renamed, 2)}")
    return notes


def _records(path: Path) -> TableFile:
    """A JSON file that holds a list of objects, as pandas and others write tables."""
    try:
        document = read_json(path, "Mend the file.")
    except OSError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause.strerror}.", "Give the path of a manifest.") from cause
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise ManifestError(
            f"{path}: a manifest in JSON is a list of objects, one a video.",
            "A map from names to prompts goes with a folder: mmbench evaluate FOLDER --prompts MAP.",
        )
    lines = tuple(
        Line(number, {str(name): _cell(value) for name, value in row.items()})
        for number, row in enumerate(document, start=1)
    )
    columns = tuple(dict.fromkeys(name for line in lines for name in line.cells))
    return TableFile(path, columns, lines)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _relative(path: Path, base: Path) -> str:
    """The path from `base`, or absolute where links or drives stand between the two."""
    whole = path.absolute()
    if is_url(whole):
        return str(whole)
    try:
        short = os.path.relpath(whole, base)
    except ValueError:  # another drive
        return str(whole)
    return Path(short).as_posix() if os.path.lexists(base / short) == os.path.lexists(whole) else str(whole)


def _joined(names: Sequence[str]) -> str:
    """The cell of several references: joined by ';', as JSON where a name would not come back from that."""
    plain = all(";" not in name and not name.startswith("[") and name == name.strip(" \t\r\n") for name in names)
    return ";".join(names) if plain else json.dumps(list(names))
