"""How numbers and texts are printed: the same digits, brackets and coverage in every format, and commands as code.

Texts of this project set commands between backticks, as Markdown does; every format has its own way to show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmbench.reports.table.tables import Cell, Column, Table

if TYPE_CHECKING:
    from markupsafe import Markup

ABSENT = "–"
SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class CellText:
    """The parts of a printed cell. `refs` are positions, from 1, in the table's footnotes."""

    value: str
    interval: str = ""
    coverage: str = ""
    refs: tuple[int, ...] = ()


def cell_text(cell: Cell, column: Column, table: Table) -> CellText:
    """Printed parts of one cell; a missing one says so, an absent (never published) one is a dash."""
    refs = tuple(table.footnotes.index(note) + 1 for note in cell.footnotes)
    if cell.state == "absent":
        return CellText(ABSENT)
    if cell.state == "missing" or cell.mean is None:
        return CellText("missing", coverage=f"0/{cell.n_total}" if cell.n_total else "", refs=refs)
    return CellText(
        value=number(cell.mean, column.facts.decimals),
        interval=interval_text(cell.low, cell.high, column.facts.decimals),
        coverage=f"{cell.n}/{cell.n_total}" if cell.n_total else "",
        refs=refs,
    )


def short_cell(cell: Cell, column: Column) -> str:
    """One number and half of its interval: "0.986 ±0.002"; what is missing or was never published says so."""
    if cell.state == "absent":
        return ABSENT
    if cell.state == "missing" or cell.mean is None:
        return "missing"
    digits = column.facts.decimals
    half = f" ±{number((cell.high - cell.low) / 2, digits)}" if cell.low is not None and cell.high is not None else ""
    return number(cell.mean, digits) + half


def present_columns(table: Table) -> tuple[list[int], list[int]]:
    """Positions of the columns in which a measured row has a value, and of those in which none has."""
    present = [at for at in range(len(table.columns)) if any(row.cells[at].state == "value" for row in table.rows)]
    return present, [at for at in range(len(table.columns)) if at not in present]


def number(value: float, decimals: int) -> str:
    """Fixed decimals, never "-0.000"."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval_text(low: float | None, high: float | None, decimals: int) -> str:
    """ "[low, high]", or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """(piece, whether it is code) in order, without the backticks; a backtick without a partner stays text."""
    for index, piece in enumerate(SPAN.split(text)):
        if piece:
            yield piece, index % 2 == 1


def rendered(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """`text` with every piece put through `plain` or `code`, which do their format's escaping."""
    return "".join(code(piece) if is_code else plain(piece) for piece, is_code in pieces(text))


def html(text: str) -> Markup:
    """HTML with `<code>` elements; everything of the text is escaped."""
    from markupsafe import Markup, escape

    return Markup(rendered(text, lambda piece: str(escape(piece)), lambda piece: f"<code>{escape(piece)}</code>"))
