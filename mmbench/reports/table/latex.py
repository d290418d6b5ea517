"""LaTeX: booktabs tables ready for a paper, with \\textbf for the best and \\underline for the second best."""

from __future__ import annotations

import re
import textwrap

from mmbench.reports.table.tables import BRACKETS, Cell, Column, Table, TableRow
from mmbench.reports.table.text import CellText, cell_text, rendered

MAX_COLUMNS = 6
"""More metrics than this do not fit the text width of a two-column paper at a readable size."""

HEADING_WIDTH = 12
"""Characters of a heading's line; an interval in small print below it is about as wide."""

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": r"\textendash{}",
}


def table_latex(table: Table, label: str = "tab:leaderboard") -> str:
    """`table*` environments of at most MAX_COLUMNS metrics each; needs only the package booktabs.

    A model takes two lines, values above and their intervals below, and a third where not all clips were measured.
    The footnotes of a table follow it as a minipage, what concerns all tables follows the last.
    The second table's label is `label` with "-2" behind it, and so on.
    """
    count = max(1, -(-len(table.columns) // MAX_COLUMNS))
    size = -(-len(table.columns) // count)
    parts = [range(start, min(start + size, len(table.columns))) for start in range(0, len(table.columns), size or 1)]
    parts = parts or [range(0)]
    tables = "one table" if len(parts) == 1 else f"{len(parts)} tables, split by columns"
    lines = [f"% Needs \\usepackage{{booktabs}} and no other package; {tables}, as wide as the page (table*)."]
    for number, part in enumerate(parts, 1):
        lines += _part(table, part, number, len(parts), label if number == 1 else f"{label}-{number}")
    return "\n".join([*lines, ""])


def _part(table: Table, part: range, number: int, count: int, label: str) -> list[str]:
    columns = [table.columns[index] for index in part]
    which = f" ({number} of {count})" if count > 1 else ""
    lines = [
        r"\begin{table*}[t]",
        r"\centering\small",
        rf"\caption{{{escape(table.title)}{which}. Brackets: 95\,\% interval of the mean by identity; "
        r"k/n: only k of n clips have a value.}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        *_headings(columns),
        r"\midrule",
    ]
    for index, row in enumerate(table.rows):
        lines += [r"\addlinespace[3pt]"] if index else []
        lines += _row(row, table, part)
    if table.published:
        span = len(columns) + 1
        lines += [r"\midrule", rf"\multicolumn{{{span}}}{{l}}{{\textit{{Published, not ranked}}}} \\"]
        for row in table.published:
            lines += _row(row, table, part)
    lines += [r"\bottomrule", r"\end{tabular}"]
    used = {note for row in (*table.rows, *table.published) for index in part for note in row.cells[index].footnotes}
    notes = [f"$^{{{index}}}$ {prose(note)}" for index, note in enumerate(table.footnotes, 1) if note in used]
    if number == count:
        notes += [prose(text) for text in (*table.warnings, *table.notes) if text != BRACKETS]
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\textwidth}\footnotesize"]
        lines += [rf"{note}\par" for note in notes]
        lines += [r"\end{minipage}"]
    return [*lines, r"\end{table*}"]


def prose(text: str) -> str:
    """Plain text for LaTeX, with what stands between backticks as \\texttt."""
    flat = " ".join(text.split())
    return rendered(flat, _escaped, lambda piece: rf"\texttt{{{_escaped(piece)}}}")


def escape(text: str) -> str:
    """Plain text for LaTeX: no character keeps a special meaning."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    safe = "".join(SPECIAL.get(character, character) for character in text)
    return re.sub("-(?=-)", "-{}", safe)  # "--" of an option is no dash


def _headings(columns: list[Column]) -> list[str]:
    """Titles broken into lines that end together, above the backends in small print."""
    titles = [textwrap.wrap(column.facts.title, HEADING_WIDTH) for column in columns]
    height = max(map(len, titles), default=1)
    padded = [[""] * (height - len(title)) + [escape(line) for line in title] for title in titles]
    padded = [
        [*title[:-1], f"{title[-1]} {escape(column.arrow)}"] for title, column in zip(padded, columns, strict=True)
    ]
    lines = [["Model" if line == height - 1 else "", *(title[line] for title in padded)] for line in range(height)]
    if any(column.labels for column in columns):
        lines.append(["", *(_small(" / ".join(column.labels)) for column in columns)])
    return [_line(line) for line in lines]


def _row(row: TableRow, table: Table, part: range) -> list[str]:
    """One to three lines of the tabular: values, intervals, and coverage where it is not full."""
    cells = [(row.cells[index], cell_text(row.cells[index], table.columns[index], table)) for index in part]
    small = [[part for part in (text.interval, _remark(cell, text)) if part] for cell, text in cells]
    lines = [[escape(row.model), *(_value(cell, text) for cell, text in cells)]]
    for depth in range(max(map(len, small), default=0)):
        lines.append(["", *(_small(parts[depth]) if depth < len(parts) else "" for parts in small)])
    return [_line(line) for line in lines]


def _line(cells: list[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _value(cell: Cell, text: CellText) -> str:
    value = escape(text.value)
    if cell.mark:
        value = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{value}}}"
    if text.refs:
        value += f"$^{{{','.join(map(str, text.refs))}}}$"
    return value


def _remark(cell: Cell, text: CellText) -> str:
    random = "random weights" if cell.random_weights and cell.state == "value" else ""
    return " ".join(part for part in (text.coverage if cell.n < cell.n_total else "", random) if part)


def _small(text: str) -> str:
    return rf"{{\scriptsize {escape(text)}}}" if text else ""
