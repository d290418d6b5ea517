"""A board shows what holds, says what does not, and lets nobody take a name or a file that is not theirs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmbench.config import BoardSettings
from mmbench.errors import ManifestError
from mmbench.reports.boards.build import BOARD, build_board, find_submissions
from mmbench.runs.evaluate.store import read_rows
from tests.runs.submit.board import Made, lines_of, rewrite


def _renamed(folder: Path, old: str, new: str) -> None:
    """Call a model of a submission by another name, as somebody might who packs by hand."""
    lines = lines_of(folder)
    for line in lines:
        owner = line["item"] if line["kind"] == "item" else line
        if owner["model"] == old:
            owner["model"] = new
    said = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    rewrite(folder, lines, models=[new if model == old else model for model in said["models"]])


def test_a_board_of_two(made: Made, tmp_path: Path) -> None:
    """The numbers of the table are those of the run; every model stands under its submission's name."""
    sent = [made.pack(tmp_path / "alice", ["ours"]), made.pack(tmp_path / "bob", ["ours", "theirs"])]
    board = build_board(sent, made.rules, tmp_path / "site")
    assert (len(board.joined), board.refused) == (2, ())
    table = board.report.table
    assert {row.model for row in table.rows} == {"ours (alice)", "ours (bob)", "theirs (bob)"}
    rows, _ = read_rows(made.run)
    (at,) = (at for at, column in enumerate(table.columns) if column.facts.name == "motion_smoothness")
    for row in table.rows:
        values = [
            score.value
            for one in rows
            if one.item.model == row.model.split(" ")[0] and (score := one.score("motion_smoothness"))
        ]
        assert row.cells[at].mean == pytest.approx(sum(value or 0 for value in values) / len(values))
    said = json.loads((tmp_path / "site" / BOARD).read_text(encoding="utf-8"))
    assert [one["name"] for one in said["submissions"]] == ["alice", "bob"]
    assert said["refused"] == []
    videos = list((tmp_path / "site" / "media").glob("*.mp4"))
    assert len(videos) == 3 * made.rules.clips


def test_any_order_gives_equal_files(made: Made, tmp_path: Path) -> None:
    sent = [made.pack(tmp_path / name, [model]) for name, model in (("a", "ours"), ("b", "theirs"))]
    for place, order in (("one", sent), ("two", sent[::-1])):
        build_board(order, made.rules, tmp_path / place / "site")
    files = [
        {
            path.relative_to(tmp_path / place): path.read_bytes()
            for path in (tmp_path / place).rglob("*.*")
            if path.is_file()
        }
        for place in ("one", "two")
    ]
    assert files[0] == files[1]


def test_one_bad_submission_neither_stops_a_board_nor_vanishes(made: Made, tmp_path: Path) -> None:
    good, bad = made.pack(tmp_path / "good", ["ours"]), made.pack(tmp_path / "bad", ["theirs"])
    (bad / "rows.jsonl").write_text("<script>alert(1)</script>\n", encoding="utf-8")
    rewrite(bad)
    board = build_board([good, bad], made.rules, tmp_path / "site")
    assert [one.folder.name for one in board.joined] == ["good"]
    assert [one.folder.name for one in board.refused] == ["bad"]
    said = json.loads((tmp_path / "site" / BOARD).read_text(encoding="utf-8"))
    assert said["refused"][0]["name"] == "bad"
    assert "line 1" in said["refused"][0]["faults"][0]
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "refused bad" in page.lower()
    assert "<script>alert" not in page


@pytest.mark.parametrize("name", ["ours (alice)", "ours  (ALICE) ", "ours ( alice )"])
def test_nobody_is_taken_for_somebody_else(made: Made, tmp_path: Path, name: str) -> None:
    alice, eve = made.pack(tmp_path / "alice", ["ours"]), made.pack(tmp_path / "eve", ["theirs"])
    _renamed(eve, "theirs", name)
    board = build_board([alice, eve], made.rules, tmp_path / "site")
    assert [one.folder.name for one in board.refused] == ["eve"]
    alone = build_board([eve], made.rules, tmp_path / "other") if name == name.strip() else None
    if alone:  # without an alice there is nobody to be taken for
        assert [row.model for row in alone.report.table.rows] == [f"{name} (eve)"]


def test_hostile_names_are_shown_as_text(made: Made, tmp_path: Path) -> None:
    eve = made.pack(tmp_path / "eve", ["ours"])
    _renamed(eve, "ours", "<img src=x onerror=alert(1)>|=1+1")
    build_board([eve], made.rules, tmp_path / "site")
    assert "<img src=x" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_pictures_of_people_only_where_the_rules_say_so(made: Made, tmp_path: Path) -> None:
    sent = [made.pack(tmp_path / "a", ["ours"])]
    build_board(sent, made.rules, tmp_path / "without")
    assert not list((tmp_path / "without" / "media").glob("reference*"))
    build_board(sent, made.rules.model_copy(update={"pictures": True}), tmp_path / "with")
    assert list((tmp_path / "with" / "media").glob("reference*"))


def test_what_is_no_board(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="None of 0 submissions"):
        build_board([], made.rules, tmp_path / "site")
    one = made.pack(tmp_path / "a" / "same", ["ours"])
    two = made.pack(tmp_path / "b" / "same", ["theirs"])
    with pytest.raises(ManifestError, match="two submissions have this name"):
        build_board([one, two], made.rules, tmp_path / "site")
    (tmp_path / "board.yaml").write_text("testset: synthetic50\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="there is no submission"):
        find_submissions(tmp_path)
    shutil.copytree(one, tmp_path / "submissions" / "same")
    rules, found = find_submissions(tmp_path)
    assert (rules, [path.name for path in found]) == (BoardSettings(testset="synthetic50"), ["same"])
