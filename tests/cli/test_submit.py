"""The commands of `mmbench submit`, one after another, as a board's owner and a sender type them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from tests.runs.submit.board import Made, lines_of, rewrite


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("cli-submit"))


def test_from_a_run_to_a_board(made: Made, tmp_path: Path) -> None:
    def call(*words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["submit", *map(str, words)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    board = tmp_path / "board"
    (board / "submissions").mkdir(parents=True)
    (board / "board.yaml").write_text(made.rules.to_yaml(), encoding="utf-8")
    sent = board / "submissions" / "alice"
    code, said = call("pack", made.run, sent, "--board", board, "--model", "ours", "--about", "noise")
    assert (code, "holds, 4 clips" in said) == (0, True)
    code, said = call("check", sent, "--board", board / "board.yaml", "--measure")
    assert code == 0
    assert "2 clips measured again" in said
    assert call("build", board, "--out", tmp_path / "first")[0] == 0
    bob = board / "submissions" / "bob"
    assert call("pack", made.run, bob, "--board", board, "--model", "theirs")[0] == 0
    code, said = call("build", board, "--out", tmp_path / "second")
    assert (code, "theirs (bob)" in said) == (0, True)
    code, said = call("diff", tmp_path / "first", tmp_path / "second", "--out", tmp_path / "diff.md")
    assert (code, "New models" in said) == (0, True)
    assert "theirs (bob)" in (tmp_path / "diff.md").read_text(encoding="utf-8")

    lines = lines_of(bob)
    lines[0]["scores"][0]["value"] = 1e6
    rewrite(bob, lines)
    code, said = call("check", bob, "--board", board)
    assert (code, "no possible value" in said) == (1, True)
    code, said = call("build", board, "--out", tmp_path / "second")
    assert (code, "does not hold" in said) == (1, True)
    assert "theirs (bob)" not in (tmp_path / "second" / "leaderboard.md").read_text(encoding="utf-8")
