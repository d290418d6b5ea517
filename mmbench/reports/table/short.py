"""The short table of a finished report, for the middle of another text: one number and half its interval a cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mmbench.errors import ManifestError, RequestError
from mmbench.files import read_json, write_text
from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.overall import NO_VERDICTS, Overall, Verdicts
from mmbench.reports.table.markdown import escape
from mmbench.reports.table.overall import below
from mmbench.reports.table.tables import Cell, Column, Table, TableRow
from mmbench.reports.table.text import present_columns, short_cell

NAME = re.compile(r"[\w-]*")

Made = TypeVar("Made")


def read_table(path: Path) -> Table:
    """Models, cells and verdicts of a report's leaderboard.json; one written before there were verdicts has none.

    Raises ManifestError where the file is no such table.
    """
    remedy = "Name the leaderboard.json of a report."
    data = read_json(path, remedy)
    try:
        table = data["table"]
        columns = tuple(Column(_made(MetricFacts, it["facts"]), tuple(it["labels"])) for it in table["columns"])
        return Table(table["title"], columns, tuple(map(_row, table["rows"])), verdicts=_verdicts(table))
    except (KeyError, TypeError) as cause:
        raise ManifestError(f"{path}: no table of a report.", remedy) from cause


def short_markdown(table: Table) -> str:
    """The measured rows in their order. Columns in which nobody has a value are folded into one line below."""
    shown, missing = present_columns(table)
    verdicts = bool(table.verdicts.pairs and table.verdicts.guards)
    head = ["model", *(["overall"] if verdicts else []), *(escape(table.columns[at].heading) for at in shown)]
    lines = [_line(head), _line(["---", *(["---"] if verdicts else []), *["---:"] * len(shown)])]
    for row in table.rows:
        cells = [short_cell(row.cells[at], table.columns[at]) for at in shown]
        verdict = [escape(below(table.verdicts, row.model))] if verdicts else []
        lines.append(_line([f"**{escape(row.model)}**", *verdict, *cells]))
    if missing:
        lines += ["", f"No value: {escape(', '.join(table.columns[at].facts.title for at in missing))}."]
    return "\n".join(lines) + "\n"


def marks(name: str = "") -> tuple[str, str]:
    """The two lines between which a table belongs; `name` tells several tables of one text apart.

    Raises RequestError for a name of other characters than letters, digits, dash and underscore.
    """
    if not NAME.fullmatch(name):
        raise RequestError(f"{name!r} is no name for a table.", "Use letters, digits, dashes and underscores.")
    called = f" {name}" if name else ""
    return f"<!-- mmbench table{called} -->", f"<!-- end of mmbench table{called} -->"


def between(text: str, name: str = "") -> str | None:
    """What stands between the marks of a text; None where they are not there, in order, once."""
    begin, end = marks(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        return None
    return text.split(begin)[1].split(end)[0].strip("\n") + "\n"


def put_between(path: Path, table: str, name: str = "") -> None:
    """Put `table` between the marks of a file, the rest of which stays. Raises ManifestError where they are missing."""
    begin, end = marks(name)
    text = path.read_text(encoding="utf-8")
    if between(text, name) is None:
        raise ManifestError(f"{path}: no place for the table.", f"Write one line {begin} and below it one line {end}.")
    head, rest = text.split(begin)
    write_text(path, f"{head}{begin}\n{table}{end}{rest.split(end)[1]}")


def _row(data: Mapping[str, Any]) -> TableRow:
    cells = tuple(_made(Cell, {**cell, "gaps": ()}) for cell in data["cells"])
    return _made(TableRow, {**data, "cells": cells})


def _verdicts(table: Mapping[str, Any]) -> Verdicts:
    if not (data := table.get("verdicts")):
        return NO_VERDICTS
    pairs = tuple(
        Overall(it["a"], it["b"], it["winner"], tuple(it["columns"]), tuple(it["against"])) for it in data["pairs"]
    )
    return Verdicts(tuple(data["models"]), pairs, tuple(data["guards"]), tuple(data["unmeasured"]))


def _made(kind: type[Made], data: Mapping[str, Any]) -> Made:
    """A dataclass of what it knows among `data`."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in data.items() if key in known})


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
