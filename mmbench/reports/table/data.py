"""CSV and JSON: the table for programs, one record a number, nothing rounded."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from mmbench.reports.numbers.comparison import Comparison
from mmbench.reports.table.tables import Cell, Column, Table, TableRow

SCHEMA = 2

FIELDS = (
    "kind",
    "model",
    "metric",
    "state",
    "mean",
    "low",
    "high",
    "n",
    "n_total",
    "n_identities",
    "interval",
    "mark",
    "backend",
    "random_weights",
    "higher_is_better",
    "unit",
    "note",
    "source",
)


def table_csv(table: Table) -> str:
    """Long form: one line for each model and metric; empty fields where there is no number."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in (*table.rows, *table.published):
        for cell, column in zip(row.cells, table.columns, strict=True):
            if cell.state != "absent":
                writer.writerow(_record(row, cell, column))
    return out.getvalue()


def table_json(table: Table, comparisons: tuple[Comparison, ...] = ()) -> str:
    """The whole table and the paired comparisons, as typed in `mmbench.reports`, with sorted keys."""
    content = {"schema": SCHEMA, "table": asdict(table), "comparisons": [asdict(pair) for pair in comparisons]}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _record(row: TableRow, cell: Cell, column: Column) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "model": no_formula(row.model),
        "metric": column.facts.name,
        "state": cell.state,
        "mean": cell.mean,
        "low": cell.low,
        "high": cell.high,
        "n": cell.n,
        "n_total": cell.n_total,
        "n_identities": cell.n_clusters,
        "interval": cell.method,
        "mark": cell.mark,
        "backend": cell.label,
        "random_weights": cell.random_weights,
        "higher_is_better": column.facts.higher_is_better,
        "unit": column.facts.unit,
        "note": no_formula(" | ".join(cell.footnotes)),
        "source": row.source,
    }


def no_formula(text: str) -> str:
    """A leading = + - @ would be run by spreadsheets; an apostrophe makes it text."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
