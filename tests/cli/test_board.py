"""The leaderboard on a terminal: it fits, and nothing is dropped without a word."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from mmbench.cli.board import print_table
from mmbench.cli.words import Once
from mmbench.reports.table.published import with_published
from mmbench.reports.table.short import read_table
from mmbench.reports.table.tables import Table

BUNDLED = Path(__file__).parents[2] / "reports" / "leaderboard" / "leaderboard.json"


@pytest.fixture(scope="module")
def table() -> Table:
    return with_published(read_table(BUNDLED))


def printed(table: Table, width: int, once: Once | None = None) -> list[str]:
    out = io.StringIO()
    print_table(table, Console(file=out, width=width, highlight=False, color_system=None), once)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_every_number_fits_with_half_its_interval(table: Table, width: int) -> None:
    lines = printed(table, width)
    board = lines[: next(at for at, line in enumerate(lines) if line.startswith("No value: "))]
    assert max(map(len, board)) <= width
    text = "\n".join(board)
    assert "0.986 ±0.001" in text and "…" not in text
    shown = [column for column in table.columns if column.facts.name not in ("text_alignment", "inception_score")]
    for row in table.rows:
        assert sum(line.startswith(row.model) for line in board) >= 1
    for row in table.published:  # in some block, each
        assert any(line.startswith(row.model) for line in board), row.model
    assert len(shown) == 11
    if width >= 80:
        assert all(any(word in line for line in board) for column in shown for word in column.heading.split())


def test_columns_nobody_has_are_one_line_and_published_figures_of_them_are_named(table: Table) -> None:
    (line,) = [line for line in printed(table, 80) if line.startswith("No value")]
    assert (
        line == "No value: Text alignment (1), Inception Score (2). Published figures of these are in leaderboard.md."
    )


def test_each_remedy_is_printed_once(table: Table) -> None:
    once = Once()
    said = once("Get them: mmbench weights get viclip.")
    text = " ".join([said, *printed(table, 100, once)])
    assert text.count("mmbench weights get viclip.") == 1
    assert text.count("A finished run keeps its missing numbers until") <= 1
