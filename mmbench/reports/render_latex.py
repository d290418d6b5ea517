"""LaTeX: a booktabs table ready for a paper, with \\textbf for the best and \\underline for the second best."""

from __future__ import annotations

from mmbench.reports.cell_text import CellText, cell_text
from mmbench.reports.tables import Cell, Table, TableRow

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
    "–": "--",
}


def table_latex(table: Table, label: str = "tab:leaderboard") -> str:
    """A `table*` environment; needs the packages booktabs and graphicx. Notes follow as a minipage."""
    columns = " & ".join(["Model", *(escape(column.heading) for column in table.columns)])
    lines = [
        "% Needs \\usepackage{booktabs,graphicx}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape(table.title)}. Brackets: 95\,\% interval by identity; k/n: clips measured of given.}}",
        rf"\label{{{label}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        rf"{columns} \\",
        r"\midrule",
        *(_row(row, table) for row in table.rows),
    ]
    if table.published:
        span = len(table.columns) + 1
        lines += [r"\midrule", rf"\multicolumn{{{span}}}{{l}}{{\textit{{Published, not ranked}}}} \\"]
        lines += [_row(row, table) for row in table.published]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [f"$^{{{index}}}$ {escape(note)}" for index, note in enumerate(table.footnotes, 1)]
    notes += [escape(text) for text in (*table.warnings, *table.notes)]
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\textwidth}\footnotesize"]
        lines += [rf"{note}\par" for note in notes]
        lines += [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def escape(text: str) -> str:
    """Plain text for LaTeX: no character keeps a special meaning."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _row(row: TableRow, table: Table) -> str:
    pairs = zip(row.cells, table.columns, strict=True)
    cells = [_cell(cell, cell_text(cell, column, table)) for cell, column in pairs]
    return rf"{' & '.join([escape(row.model), *cells])} \\"


def _cell(cell: Cell, text: CellText) -> str:
    value = escape(text.value)
    if cell.mark:
        value = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{value}}}"
    if text.refs:
        value += f"$^{{{','.join(map(str, text.refs))}}}$"
    random = "random weights" if cell.random_weights and cell.state == "value" else ""
    small = " ".join(part for part in (text.interval, text.coverage, random) if part)
    return rf"{value} {{\scriptsize {small}}}" if small else value
