"""The short table: what it shows, that it survives its file, and that the README has the bundled one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmbench.errors import ManifestError, RequestError
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.table.data import table_json
from mmbench.reports.table.short import between, marks, put_between, read_table, short_markdown
from mmbench.reports.table.tables import build_table
from mmbench.scores import Score

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "reports" / "leaderboard" / "leaderboard.json"
CONTROLS = {
    "still": "Articulation",
    "copy-paste": "Copy angle",
    "camera-only": "Articulation",
    "jitter": "Motion smoothness",
    "drift": "ID margin",
    "stranger": "ID margin",
    "vanish": "Face rate",
}


def some_table(make_row: Any, facts: Any) -> Any:
    gone = Score.missing("fm_ref", "no weights", "Get them.")
    rows = [
        make_row(name, f"p{n}", id_margin=margin + 0.001 * (n % 5), id_similarity=0.9 + 0.001 * n, fm_ref=gone)
        for name, margin in (("good|one", 0.09), ("other", 0.01))
        for n in range(20)
    ]
    return build_table(take_samples(rows), facts)


def test_one_number_and_half_its_interval_a_cell(make_row: Any, facts: Any) -> None:
    text = short_markdown(some_table(make_row, facts))
    assert "| **good\\|one** | above all others | 0.910 ±0.003 |" in text
    assert "| **other** | below good\\|one: ID margin | 0.910 ±0.003 |" in text
    assert text.splitlines()[-1] == "No value: FM ref."


def test_the_table_comes_back_from_its_file(make_row: Any, facts: Any, tmp_path: Path) -> None:
    table = some_table(make_row, facts)
    (tmp_path / "leaderboard.json").write_text(table_json(table))
    assert short_markdown(read_table(tmp_path / "leaderboard.json")) == short_markdown(table)
    (tmp_path / "leaderboard.json").write_text("{}")
    with pytest.raises(ManifestError, match="no table of a report"):
        read_table(tmp_path / "leaderboard.json")


@pytest.mark.parametrize("name", ["", "nano", "a-b_1"])
def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path, name: str) -> None:
    page = tmp_path / "page.md"
    (begin, end), (other, other_end) = marks(name), marks("other")
    page.write_text(f"before\n{begin}\nold\n{end}\nbetween\n{other}\nkept\n{other_end}\nafter\n")
    put_between(page, "| new |\n", name)
    assert page.read_text() == f"before\n{begin}\n| new |\n{end}\nbetween\n{other}\nkept\n{other_end}\nafter\n"
    assert between(page.read_text(), name) == "| new |\n"
    page.write_text(f"{end} {begin}")
    with pytest.raises(ManifestError, match="no place for the table"):
        put_between(page, "x", name)


def test_a_name_cannot_end_the_comment() -> None:
    with pytest.raises(RequestError, match="no name for a table"):
        marks("x -->")


@pytest.mark.parametrize(("name", "folder"), [("", "leaderboard"), ("nano", "leaderboard-nano")])
def test_the_readme_has_the_bundled_leaderboards(name: str, folder: str) -> None:
    """Written by `mmbench table reports/FOLDER/leaderboard.json --into README.md --name NAME`."""
    table = read_table(ROOT / "reports" / folder / "leaderboard.json")
    assert between((ROOT / "README.md").read_text(encoding="utf-8"), name) == short_markdown(table)


def test_the_controls_right_order_comes_out() -> None:
    table = read_table(BUNDLED)
    assert table.rows[0].model == "truth"
    lost = {pair.loser: pair.columns for pair in table.verdicts.better_than("truth")}
    assert set(lost) == set(CONTROLS)
    for name, why in CONTROLS.items():
        assert why in lost[name], name
