"""`mmbench train`: presets are printed, faults are named, a run ends with its release."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.cli.train import time_left
from mmbench.model.train.drawn import drawn_settings, make_world
from mmbench.model.train.settings import TrainSettings, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_show_prints_complete_settings(name: str) -> None:
    result = CliRunner().invoke(app, ["train", name, "--show"])
    assert result.exit_code == 0
    TrainSettings.model_validate(yaml.safe_load(result.stdout))


def test_a_run_says_what_it_wrote(tmp_path: Path) -> None:
    make_world(tmp_path, people=2)
    stage = {"name": "images", "data": [{"shards": ["images"]}], "steps": 2, "batch": 2}
    settings = drawn_settings(model={"train": "norm-only"}, stages=[stage])
    (tmp_path / "mine.yaml").write_text(settings.to_yaml())
    arguments = ["train", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "norms" / "norms.safetensors").is_file()
    assert "2 steps done" in result.output
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code != 0 and "--resume" in str(again.exception)
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0


def test_time_left_in_words() -> None:
    told = [time_left(s) for s in (12.3, 41 * 60, 3 * 3600 + 420, 51 * 3600)]
    assert told == ["12 s", "41 min", "3 h 07 min", "2 d 03 h"]
