"""Two boards held against one another: who came, who went, whose numbers and places are others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError
from mmbench.files import read_json
from mmbench.reports.boards.build import BOARD
from mmbench.reports.table.markdown import escape
from mmbench.reports.table.short import read_table
from mmbench.reports.table.tables import Cell, Table
from mmbench.reports.table.text import number

REMEDY = "Name folders that `mmbench submit build` (or `mmbench report`) wrote."


@dataclass(frozen=True)
class Change:
    """A mean that is another one. None where there is no number; `apart`: the two intervals do not touch."""

    model: str
    metric: str
    title: str
    before: float | None
    after: float | None
    apart: bool
    decimals: int


@dataclass(frozen=True)
class Move:
    """A model's place in the table, counted from 1 among the models that both boards have."""

    model: str
    before: int
    after: int


@dataclass(frozen=True)
class BoardDiff:
    """`rules` says in sentences what makes the boards not comparable: another test set, other rules or columns.

    `replaced` are submissions of the same name and other contents, `refused` those the newer board refused.
    """

    rules: tuple[str, ...]
    came: tuple[str, ...]
    went: tuple[str, ...]
    moved: tuple[Move, ...]
    changed: tuple[Change, ...]
    replaced: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is another."""
        return not any(asdict(self).values())


def diff_boards(before: Path, after: Path) -> BoardDiff:
    """What has changed from one board to another. Reports without submissions can be compared too.

    Raises ManifestError for a folder without a report.
    """
    tables = [_table(folder) for folder in (before, after)]
    said = [_said(folder) for folder in (before, after)]
    old, new = tables
    names = [[row.model for row in table.rows] for table in tables]
    both = [[model for model in own if model in set(other)] for own, other in (names, reversed(names))]
    moved = [
        Move(model, both[0].index(model) + 1, place)
        for place, model in enumerate(both[1], start=1)
        if both[0].index(model) + 1 != place
    ]
    cards = [{one["name"]: one["card_sha256"] for one in board.get("submissions", ())} for board in said]
    return BoardDiff(
        rules=_rules(said[0], said[1], old, new),
        came=tuple(model for model in names[1] if model not in names[0]),
        went=tuple(model for model in names[0] if model not in names[1]),
        moved=tuple(moved),
        changed=_changes(old, new, both[1]),
        replaced=tuple(sorted(name for name, card in cards[1].items() if cards[0].get(name, card) != card)),
        refused=tuple(f"{one['name']}: {' '.join(one['faults'])}" for one in said[1].get("refused", ())),
    )


def diff_markdown(diff: BoardDiff) -> str:
    """The differences as a reader wants them, one heading a kind; one sentence where there are none."""
    if diff.empty:
        return "The boards are the same.\n"
    lines: list[str] = []
    for title, entries in (
        ("Not comparable", diff.rules),
        ("New models", diff.came),
        ("Models that are gone", diff.went),
        ("Submissions that were replaced", diff.replaced),
        ("Refused", diff.refused),
    ):
        if entries:
            lines += [f"## {title}", "", *(f"* {escape(entry)}" for entry in entries), ""]
    if diff.moved:
        lines += ["## Places among the models of both", "", "| model | before | after |", "|---|---:|---:|"]
        lines += [f"| {escape(move.model)} | {move.before} | {move.after} |" for move in diff.moved]
        lines.append("")
    if diff.changed:
        lines += ["## Numbers", "", "| model | column | before | after | intervals |", "|---|---|---:|---:|---|"]
        lines += [
            f"| {escape(one.model)} | {escape(one.title)} | {_shown(one.before, one)} | {_shown(one.after, one)} "
            f"| {'apart' if one.apart else 'touch'} |"
            for one in diff.changed
        ]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def diff_json(diff: BoardDiff) -> str:
    """The differences for programs."""
    return json.dumps(asdict(diff), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _table(folder: Path) -> Table:
    try:
        return read_table(folder / "leaderboard.json")
    except FileNotFoundError as cause:
        raise ManifestError(f"{folder}: has no leaderboard.json.", REMEDY) from cause


def _said(folder: Path) -> Mapping[str, Any]:
    """The board.json of a board; empty for a plain report. Raises ManifestError for a damaged one."""
    try:
        said = read_json(folder / BOARD, REMEDY)
    except FileNotFoundError:
        return {}
    if not isinstance(said, dict) or not all(isinstance(one, dict) and "name" in one for one in said["submissions"]):
        raise ManifestError(f"{folder / BOARD}: is no board.", REMEDY)
    return said


def _rules(old: Mapping[str, Any], new: Mapping[str, Any], before: Table, after: Table) -> tuple[str, ...]:
    found = []
    if old.get("testset_sha256") != new.get("testset_sha256"):
        found.append(f"the test set is another one: {old.get('testset', 'none')}, then {new.get('testset', 'none')}")
    if old.get("rules_sha256") != new.get("rules_sha256"):
        found.append("the rules are other ones")
    columns = [[column.facts.name for column in table.columns] for table in (before, after)]
    if columns[0] != columns[1]:
        found.append("the columns are other ones; only those of both are compared")
    definitions = [
        {column.facts.name: column.facts.definition for column in table.columns} for table in (before, after)
    ]
    redefined = [name for name, text in definitions[0].items() if definitions[1].get(name, text) != text]
    return (*found, *(f"the definition of {name} is another one" for name in redefined))


def _changes(old: Table, new: Table, models: list[str]) -> tuple[Change, ...]:
    """Means that differ in a digit that the table shows, or numbers that came or went."""
    cells = [
        {
            (row.model, column.facts.name): cell
            for row in table.rows
            for column, cell in zip(table.columns, row.cells, strict=True)
        }
        for table in (old, new)
    ]
    found = []
    for model in models:
        for column in new.columns:
            facts = column.facts
            if (model, facts.name) not in cells[0]:
                continue
            before, after = (of_board[model, facts.name] for of_board in cells)
            change = Change(
                model, facts.name, facts.title, before.mean, after.mean, _apart(before, after), facts.decimals
            )
            if _shown(before.mean, change) != _shown(after.mean, change):
                found.append(change)
    return tuple(found)


def _apart(before: Cell, after: Cell) -> bool:
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return False
    return before.high < after.low or after.high < before.low


def _shown(mean: float | None, change: Change) -> str:
    return "no number" if mean is None else number(mean, change.decimals)
