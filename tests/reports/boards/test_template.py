"""The template of a board: its rules are those of the nano table, and its workflow calls commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer
import yaml

from mmbench.cli import app
from mmbench.config import BoardSettings, RunSettings
from tests.conftest import ROOT

BOARD = ROOT / "reports" / "board"


def test_the_rules_are_those_of_the_nano_table() -> None:
    rules = BoardSettings.from_yaml(BOARD / "board.yaml")
    table = RunSettings.from_yaml(ROOT / "testsets" / "nano70" / "leaderboard.yaml")
    assert rules.testset == table.testset
    assert rules.evaluate == table.evaluate
    assert rules.report.model_copy(update={"title": ""}) == table.report.model_copy(update={"title": ""})


def test_every_command_is_one() -> None:
    workflow = yaml.safe_load((BOARD / "pages.yml").read_text(encoding="utf-8"))
    run = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    readme = re.findall(r"^(mmbench .*)$", (BOARD / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    lines = [line for line in (*run, *readme) if line.startswith("mmbench ")]
    assert len(lines) >= 6
    root = typer.main.get_command(app)
    for line in lines:
        command, words = root, shlex.split(line, comments=True)[1:]
        while getattr(command, "commands", None):
            command, words = command.commands[words[0]], words[1:]  # type: ignore[attr-defined]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_its_folder_takes_submissions() -> None:
    assert (Path(BOARD) / "submissions").is_dir()
