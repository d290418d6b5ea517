"""Tables of text (CSV) as people and programs write them; no cell is cut, shifted or changed in silence."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.files import whole as whole_file

SEPARATORS = (",", ";", "\t", "|")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_COUNTER = re.compile(r"[0-9]+")
MAX_RATE = 10_000.0
"""Frames per second beyond which a cell is a slip, not a rate."""


@dataclass(frozen=True)
class Line:
    """One record: the line of the file on which it begins, and its cells by column, exactly as written."""

    number: int
    cells: Mapping[str, str]

    def name(self, column: str) -> str:
        """A cell that names something, without the blanks and tabs around it; "" where there is none."""
        return self.cells.get(column, "").strip(" \t\r\n")

    def text(self, column: str) -> str | None:
        """A cell of free text as it was written; None where there is nothing but white space."""
        text = self.cells.get(column, "")
        return text if text.strip() else None


@dataclass(frozen=True)
class TableFile:
    """A table: its columns in order, its lines, how cells were separated, and what was passed over."""

    path: Path
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    separator: str = ","
    notes: tuple[str, ...] = ()

    @property
    def decimal_comma(self) -> bool:
        """Whether 12,5 can be a number: where cells are separated by something else."""
        return self.separator != ","


def read_table(path: Path, known: Collection[str]) -> TableFile:
    """The table in a file. Cells may be separated by commas, semicolons, tabs or bars, whichever gives most columns.

    `known` are names of columns, found whatever their capitals; others are kept as they are. Text is UTF-8 or UTF-16,
    with or without a byte order mark; bytes that are no UTF-8 are kept as Python keeps them in names of files. Empty
    lines are passed over; a column without a name too, with a note unless it merely counts the lines.
    Raises ManifestError naming the line: more cells than columns, a quote that is not closed, a cell of more than
    131,072 characters; two columns of one name; no file.
    """
    text = _read(path)
    first, _, rest = text.partition("\n")
    skipped = 0
    if said := re.fullmatch(r'"?sep=(.)"?\r?', first):  # a line with which Excel is told the separator
        text, skipped, separator = rest, 1, said[1]
    else:
        separator = max(SEPARATORS, key=lambda choice: _known_columns(text, choice, known))
    records = _records(path, text, separator, skipped)
    header = next(records, None)
    if header is None:
        return TableFile(path, (), (), separator)
    columns = _columns(path, header[1], known)
    rows: list[tuple[int, list[str]]] = []
    for number, cells in records:
        if len(cells) > len(columns):
            extra = cells[len(columns)]
            raise ManifestError(
                f"{path}, line {number}: {len(cells)} cells, {len(columns)} columns; {extra[:60]!r} is in no column.",
                'Put a text that holds the separator, or a quote, in double quotes ("").',
            )
        rows.append((number, cells + [""] * (len(columns) - len(cells))))
    notes = _unnamed(path, columns, [cells for _, cells in rows])
    named = [(place, name) for place, name in enumerate(columns) if name]
    lines = tuple(Line(number, {name: cells[place] for place, name in named}) for number, cells in rows)
    return TableFile(path, tuple(name for _, name in named), lines, separator, notes)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table whole or not at all, so that Excel, pandas and `read_table` all read it as it is meant."""
    with whole_file(path) as part, part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        stream.write("\ufeff")
        # With this line end both of its characters are quoted inside cells, in every version of csv.
        writer = csv.DictWriter(stream, columns, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)


def whole_number(text: str, decimal_comma: bool = False) -> int:
    """A whole number of up to 20 digits, also as table programs write it beside empty cells: 42 or 42.0.

    Raises ValueError that says what it is instead: 42.5 is not whole, 1e+18 has been rounded.
    """
    plain = text.replace(",", ".") if decimal_comma else text
    if match := re.fullmatch(r"([+-]?[0-9]{1,20})(\.0*)?", plain):
        return int(match[1])
    if re.fullmatch(r"[+-]?[0-9]+\.?[0-9]*[eE][+-]?[0-9]+", plain):
        raise ValueError(f"is {text!r}, a rounded number: write all its digits")
    if re.fullmatch(r"[+-]?[0-9]+\.[0-9]*", plain):
        raise ValueError(f"is {text!r}, not a whole number")
    raise ValueError(f"is {text!r}, not a number")


def rate(text: str, decimal_comma: bool = False) -> float:
    """Frames per second: 25, 29.97 or 30000/1001, above 0 and up to 10,000. Raises ValueError that says what it is."""
    plain = text.replace(",", ".") if decimal_comma else text
    number = r"[+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
    if pair := re.fullmatch(r"([0-9]{1,12})\s*/\s*([0-9]{1,12})", plain):
        value = float(Fraction(int(pair[1]), int(pair[2]))) if int(pair[2]) else math.inf
    elif re.fullmatch(number, plain) and len(plain) <= 40:
        value = float(plain)
    else:
        raise ValueError(f"is {text[:60]!r}, not a number")
    if not 0 < value <= MAX_RATE:
        raise ValueError(f"is {text[:60]!r}, no rate above 0 and up to {MAX_RATE:,.0f}")
    return value


def printable(text: str) -> bool:
    """Whether a text holds nothing but Unicode: no bytes that the file's encoding could not read."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as cause:
        why = getattr(cause, "strerror", None) or str(cause)
        raise ManifestError(f"{path}: cannot be read: {why}.", "Give the path of a CSV file.") from cause
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding, "strict" if encoding == "utf-16" else "surrogateescape")
    except UnicodeDecodeError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause}.", "Give a CSV file in UTF-8.") from cause
    return text.removeprefix("\ufeff")


def _records(path: Path, text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of every record that is not empty."""
    text, stand_in = _without_returns(text)
    # newline="": a cell keeps its line breaks, and no other character, whatever it is, ends a line
    padded = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])[1:]
    blank = any(cell.startswith(" ") for cell in padded)  # "model, video": blanks behind separators are no text
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=blank)
    before = skipped
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as cause:
            raise ManifestError(
                f"{path}, line {before + 1}: {_said(str(cause))}.",
                'Close every double quote; write one inside a quoted text twice ("").',
            ) from cause
        first, before = before + 1, skipped + reader.line_num
        if any(cell.strip() for cell in cells):
            yield first, [cell.replace(stand_in, "\r") for cell in cells] if stand_in else cells


def _without_returns(text: str) -> tuple[str, str]:
    """The text with a stand-in for lone carriage returns where lines end otherwise: older writers do not quote them."""
    end = re.search(r"\r\n|\n|\r", text)
    if end is None or end[0] == "\r" or not (lone := re.compile(r"\r(?!\n)")).search(text):
        return text, ""
    stand_in = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)
    return lone.sub(stand_in, text), stand_in


def _said(error: str) -> str:
    if "field larger" in error:
        return f"a cell holds more than {csv.field_size_limit():,} characters, or its quote is never closed"
    if "unexpected end" in error:
        return "a quote is opened here and never closed"
    return f"no table's line: {error}"


def _known_columns(text: str, separator: str, known: Collection[str]) -> tuple[int, int]:
    """How many known columns a header has when it is cut at `separator`, and how many at all."""
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error:
        return (0, 0)
    return len({name.strip().lower() for name in header} & set(known)), len(header)


def _columns(path: Path, header: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    columns = []
    for cell in header:
        name = cell.strip()
        columns.append(name.lower() if name.lower() in known else name)
    for name in columns:
        if name and columns.count(name) > 1:
            raise ManifestError(f"{path}: two columns are called {name!r}.", "Rename or delete one.")
    return tuple(columns)


def _unnamed(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    notes = []
    for place, name in enumerate(columns):
        cells = [row[place] for row in rows]
        if name or not any(cells) or all(_COUNTER.fullmatch(cell) for cell in cells):
            continue
        notes.append(f"{path.name}: column {place + 1} has no name and was passed over")
    return tuple(notes)
