"""How numbers are printed: the same digits, brackets and coverage in every format."""

from __future__ import annotations

from dataclasses import dataclass

from mmbench.reports.table.tables import Cell, Column, Table

ABSENT = "–"


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


def number(value: float, decimals: int) -> str:
    """Fixed decimals, never "-0.000"."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval_text(low: float | None, high: float | None, decimals: int) -> str:
    """ "[low, high]", or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    return f"[{number(low, decimals)}, {number(high, decimals)}]"
