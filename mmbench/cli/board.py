"""The leaderboard on a terminal of any width: one number and half its interval a cell, columns in blocks that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmbench.cli.words import Once, plain, safe

if TYPE_CHECKING:
    from rich.console import Console

    from mmbench.reports.build import ReportPaths
    from mmbench.reports.table.tables import Cell, Column, Table, TableRow

FRAME = 3
"""Characters that a column needs beside its text."""

WIDEST_MODEL = 28


@dataclass(frozen=True)
class _Printed:
    """A column ready to print: its position, heading, cells of the measured and published rows, and its width."""

    at: int
    heading: str
    cells: tuple[str, ...]
    width: int


def print_leaderboard(report: ReportPaths, once: Once | None = None) -> None:
    """The table of a report that was just written, and where its page is. `once` knows what has been said."""
    from rich.console import Console

    console = Console(highlight=False)
    print_table(report.table, console, once)
    console.print(f"Page: {plain(report.page)}", soft_wrap=True, markup=False)


def print_table(table: Table, console: Console, once: Once | None = None) -> None:
    """Blocks of columns one below the other, each as wide as the terminal allows; `*` best, `+` second best.

    Columns in which no measured row has a value are one line below; then verdicts, footnotes and warnings.
    """
    from mmbench.reports.table.overall import below
    from mmbench.reports.table.text import present_columns

    once = once or Once()
    shown, missing = present_columns(table)
    rows = [*table.rows, *table.published]
    columns = [_printed(table, at, rows) for at in shown]
    console.print(f"[bold]{safe(table.title)}[/bold]")
    for block in _blocks(columns, console.width - _model_width(table, console.width) - FRAME) or [[]]:
        console.print(_grid(table, block, rows, console.width))
        console.print()
    if missing:
        console.print(safe(_folded(table, missing)), soft_wrap=True)
    if any(cell.mark for row in table.rows for cell in row.cells):
        console.print("± half the 95 % interval; * best, + second best of the measured (marks are no tests)")
    if table.published:
        console.print("Published rows are quoted, measured by others on other clips, and not ranked.", soft_wrap=True)
    if table.verdicts.pairs and table.verdicts.guards:
        console.print("Overall verdicts, by paired tests on the guarded columns:")
        for row in table.rows:
            console.print(f"  {safe(row.model)}: {safe(below(table.verdicts, row.model))}", soft_wrap=True)
    for index, note in enumerate(table.footnotes, 1):
        console.print(f"({index}) {safe(once(note)) or 'as above'}", soft_wrap=True)
    for warning in table.warnings:
        console.print(f"[yellow]warning:[/yellow] {safe(warning)}", soft_wrap=True)


def _printed(table: Table, at: int, rows: Sequence[TableRow]) -> _Printed:
    from rich.cells import cell_len

    column = table.columns[at]
    texts = [_text(row.cells[at], column, table) for row in rows]
    words = column.heading.split()
    longest = max(cell_len(line) for text in (*texts, *words) for line in text.split("\n"))
    return _Printed(at, column.heading, tuple(texts), longest)


def _text(cell: Cell, column: Column, table: Table) -> str:
    """The number with its mark and footnotes; below it the coverage where it is not full."""
    from mmbench.reports.table.text import short_cell

    sign = {"best": " *", "second": " +", "": ""}[cell.mark]
    refs = ",".join(str(table.footnotes.index(note) + 1) for note in cell.footnotes)
    lines = [short_cell(cell, column) + sign + (f" ({refs})" if refs else "")]
    if cell.state == "value" and cell.n < cell.n_total:
        lines.append(f"{cell.n}/{cell.n_total} clips")
    if cell.state == "value" and cell.random_weights:
        lines.append("random weights")
    return "\n".join(lines)


def _blocks(columns: Sequence[_Printed], width: int) -> list[list[_Printed]]:
    """Columns in order, as many to a block as fit, at least one."""
    blocks: list[list[_Printed]] = []
    left = 0
    for column in columns:
        if not blocks or column.width + FRAME > left:
            blocks.append([])
            left = width
        blocks[-1].append(column)
        left -= column.width + FRAME
    return blocks


def _model_width(table: Table, width: int) -> int:
    from rich.cells import cell_len

    longest = max((cell_len(plain(row.model)) for row in (*table.rows, *table.published)), default=5)
    return max(5, min(longest, WIDEST_MODEL, width // 3))


def _grid(table: Table, block: Sequence[_Printed], rows: Sequence[TableRow], width: int) -> object:
    """One block; published rows that have nothing in it are in another one."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    grid.add_column("Model", width=_model_width(table, width), overflow="fold")
    for column in block:
        grid.add_column(Text(plain(column.heading)), width=column.width, justify="right", overflow="fold")
    told = False
    for index, row in enumerate(rows):
        quoted = row.kind == "published"
        if quoted and all(row.cells[column.at].state == "absent" for column in block):
            continue
        if quoted and not told:
            grid.add_section()
            grid.add_row(Text("published:", "dim italic"))
            told = True
        cells = [Text(column.cells[index], _style(row.cells[column.at], quoted)) for column in block]
        grid.add_row(Text(plain(row.model), "dim" if quoted else ""), *cells)
    return grid


def _style(cell: Cell, quoted: bool) -> str:
    if quoted:
        return "dim"
    return "yellow" if cell.state == "missing" else {"best": "bold green", "second": "underline", "": ""}[cell.mark]


def _folded(table: Table, missing: Sequence[int]) -> str:
    """ "No value: Text alignment (1), Inception Score (2)." and where published figures of these are."""
    names = []
    for at in missing:
        notes = dict.fromkeys(note for row in table.rows for note in row.cells[at].footnotes)
        refs = ",".join(str(table.footnotes.index(note) + 1) for note in notes)
        names.append(table.columns[at].facts.title + (f" ({refs})" if refs else ""))
    quoted = any(row.cells[at].state == "value" for row in table.published for at in missing)
    more = " Published figures of these are in leaderboard.md." if quoted else ""
    return f"No value: {', '.join(names)}.{more}"
