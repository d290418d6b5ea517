"""Markdown: the leaderboard and comparisons as GitHub shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmbench.reports.numbers.comparison import Comparison, sentences
from mmbench.reports.numbers.power import why_all_undecidable
from mmbench.reports.numbers.verdicts import format_p
from mmbench.reports.table.overall import HEADINGS, overall_lines
from mmbench.reports.table.tables import Cell, Column, Table, TableRow
from mmbench.reports.table.text import (
    ABSENT,
    CellText,
    cell_text,
    interval_text,
    number,
    rendered,
)


def table_markdown(table: Table) -> str:
    """The whole table with published rows, warnings, footnotes and notes."""
    head = ["Model", *(escape(column.heading) for column in table.columns)]
    lines = [f"# {escape(table.title)}", "", _line(head), _line(["---", *["---:"] * len(table.columns)])]
    lines += [_line([escape(row.model), *_cells(row, table)]) for row in table.rows]
    if table.published:
        lines.append(_line(["*published, not ranked*", *[""] * len(table.columns)]))
        lines += [_line([f"*{escape(row.model)}*", *_cells(row, table)]) for row in table.published]
    lines += overall_markdown(table)
    if table.footnotes:
        lines.append("")
        lines += [f"<sup>{index}</sup> {prose(note)}  " for index, note in enumerate(table.footnotes, 1)]
    for title, texts in (("Warnings", table.warnings), ("Notes", table.notes)):
        if texts:
            lines += ["", f"**{title}**", "", *(f"- {prose(text)}" for text in texts)]
    return "\n".join(lines) + "\n"


def overall_markdown(table: Table) -> list[str]:
    """The overall verdicts as lines of a section of their own; none where no pair was tested."""
    found = overall_lines(table.verdicts, [row.model for row in table.rows])
    if not found:
        return []
    cells = [[line.model, line.better, line.undecided, line.worse] for line in found]
    lines = ["", "**Overall verdicts**", "", _line(list(HEADINGS)), _line(["---"] * len(HEADINGS))]
    return [*lines, *(_line([escape(cell) or ABSENT for cell in row]) for row in cells)]


def comparison_markdown(comparisons: Sequence[Comparison]) -> str:
    """Paired differences, one table for each pair of models, each followed by what may be concluded."""
    nothing = why_all_undecidable(comparisons)
    once = bool(nothing) and len(comparisons) > 1
    lines: list[str] = [escape(nothing), ""] if once else []
    for comparison in comparisons:
        a, b = escape(comparison.name_a), escape(comparison.name_b)
        lines += [f"## {a} against {b}", ""]
        lines += [] if once else [escape(comparison.summary), ""]
        if not comparison.differences:
            lines += [*(f"- {escape(note)}" for note in comparison.notes), ""]
            continue
        lines += [_line(["Metric", a, b, "A - B", "95 % interval", "pairs", "p", "p (Holm)"])]
        lines += [_line(["---", *["---:"] * 7])]
        for row in comparison.differences:
            digits, estimate = row.facts.decimals, row.difference
            lines.append(
                _line(
                    [
                        escape(Column(row.facts).heading),
                        _number(row.mean_a, digits),
                        _number(row.mean_b, digits),
                        _number(estimate.mean if estimate else None, digits),
                        interval_text(estimate.low, estimate.high, digits) if estimate else "",
                        str(estimate.n) if estimate else "",
                        escape(format_p(row.p)) if row.p is not None else "",
                        escape(format_p(row.p_holm)) if row.p_holm is not None else "",
                    ]
                )
            )
        lines += ["", *(f"- {escape(text)}" for text in sentences(comparison)), ""]
        lines += [*(f"- {escape(note)}" for note in comparison.notes), ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that cannot become markup, a link or a new cell."""
    return _escaped(" ".join(text.split()))


def prose(text: str) -> str:
    """As `escape`, outside tables, with what stands between backticks kept as code."""
    return rendered(" ".join(text.split()), _escaped, lambda piece: f"`{piece}`")


def _escaped(text: str) -> str:
    flat = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]#~])", r"\\\1", flat)


def _cells(row: TableRow, table: Table) -> list[str]:
    return [_cell(cell, cell_text(cell, column, table)) for cell, column in zip(row.cells, table.columns, strict=True)]


def _cell(cell: Cell, text: CellText) -> str:
    value = {"best": f"**{text.value}**", "second": f"<u>{text.value}</u>", "": text.value}[cell.mark]
    random = "random weights" if cell.random_weights and cell.state == "value" else ""
    refs = f"<sup>{','.join(map(str, text.refs))}</sup>" if text.refs else ""
    return " ".join(part for part in (value + refs, escape(text.interval), text.coverage, random) if part)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else number(value, digits)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
