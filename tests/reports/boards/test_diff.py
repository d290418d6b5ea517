"""What is other between two boards is said, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmbench.errors import ManifestError
from mmbench.reports.boards.build import build_board
from mmbench.reports.boards.diff import diff_boards, diff_json, diff_markdown
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.submit.pack import pack
from tests.runs.submit.board import Made, items_of


@pytest.fixture(scope="module")
def boards(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """On the second one a model is replaced by one of other videos, one is gone and one is new."""
    folder = tmp_path_factory.mktemp("diff")
    first = [made.pack(folder / "one" / "alice", ["ours"]), made.pack(folder / "one" / "bob", ["theirs"])]
    items = items_of(made.testset, folder / "videos", ("ours",), seed=9)
    for item in items:  # videos that stand still
        item.video.write_bytes(items[0].video.read_bytes())
    run = evaluate(items, folder / "run", made.rules.evaluate).run
    pack(run, folder / "two" / "alice", made.rules.testset, clips=made.rules.clips)
    pack(run, folder / "two" / "carol", made.rules.testset, clips=made.rules.clips)
    build_board(first, made.rules, folder / "before")
    build_board([folder / "two" / "alice", folder / "two" / "carol"], made.rules, folder / "after")
    return folder / "before", folder / "after"


def test_a_board_is_as_itself(boards: tuple[Path, Path]) -> None:
    found = diff_boards(boards[0], boards[0])
    assert found.empty
    assert diff_markdown(found) == "The boards are the same.\n"


def test_who_came_and_went_and_what_changed(boards: tuple[Path, Path]) -> None:
    found = diff_boards(*boards)
    assert found.came == ("ours (carol)",)
    assert found.went == ("theirs (bob)",)
    assert found.replaced == ("alice",)  # carol is new
    assert found.rules == ()
    assert {change.model for change in found.changed} == {"ours (alice)"}
    assert "motion_smoothness" in {change.metric for change in found.changed}
    back = diff_boards(*reversed(boards))
    assert (back.came, back.went) == (found.went, found.came)
    assert [(one.before, one.after) for one in back.changed] == [(one.after, one.before) for one in found.changed]


def test_both_texts_say_it(boards: tuple[Path, Path]) -> None:
    found = diff_boards(*boards)
    text = diff_markdown(found)
    assert "## New models\n\n* ours (carol)" in text
    assert json.loads(diff_json(found))["went"] == ["theirs (bob)"]


def test_other_rules_are_told(made: Made, boards: tuple[Path, Path], tmp_path: Path) -> None:
    rules = made.rules.model_copy(update={"clips": 1})
    sent = made.pack(tmp_path / "alice", ["ours"])
    build_board([sent], rules, tmp_path / "site")
    assert diff_boards(boards[0], tmp_path / "site").rules == ("the rules are other ones",)


def test_what_is_no_board(boards: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no leaderboard\.json"):
        diff_boards(boards[0], tmp_path)
    (tmp_path / "leaderboard.json").write_bytes((boards[0] / "leaderboard.json").read_bytes())
    assert diff_boards(tmp_path, tmp_path).empty  # a plain report
    (tmp_path / "board.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ManifestError, match="is no board"):
        diff_boards(boards[0], tmp_path)
