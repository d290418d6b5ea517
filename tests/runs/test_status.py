"""What a run says of itself while it is under way, by parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.config import EvaluateSettings
from mmbench.engine.claims import Claims
from mmbench.engine.shard import Shard
from mmbench.engine.spread import Spread
from mmbench.errors import ManifestError, RequestError
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.status import run_status

TOY = EvaluateSettings(metrics=("length", "faulty"))


def test_done_failed_and_missing_by_part(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    broken = replace(clips[0], id="broken", video=tmp_path / "absent.mp4")
    items = [*clips, broken]
    mine = Shard(2, 3).of(items, lambda item: item.id)
    evaluate(items, tmp_path / "run", TOY, spread=Spread(Shard(2, 3)))
    found = run_status(tmp_path / "run")
    assert found.what == "clips" and len(found.parts) == 3 and found.resubmit == (1, 3)
    four = {item.id for number, item in enumerate(clips) if number % 8 == 1}  # clips of four frames
    failed = [item.id for item in mine if item.id in four or item.id == "broken"]
    part = found.parts[1]
    assert (part.done, part.failed, part.missing) == (len(mine) - len(failed), len(failed), 0)
    for index in (0, 2):
        size = len(Shard(index + 1, 3).of(items, lambda item: item.id))
        assert (found.parts[index].done, found.parts[index].missing) == (0, size)
    whole = run_status(tmp_path / "run", 1)
    assert whole.whole == found.whole and whole.resubmit == (1,)
    evaluate(items, tmp_path / "run", TOY)
    found = run_status(tmp_path / "run")
    assert found.whole.missing == 0 and found.whole.failed == len(four) + 1 and not found.resubmit
    assert [count for _, count in found.reasons] == [len(four), 1]
    assert found.reasons[0][0].startswith("faulty: ")


def test_who_is_at_work(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    evaluate(clips[:1], tmp_path / "run", TOY)
    assert not run_status(tmp_path / "run").at_work
    with Claims(tmp_path / "run", work="an evaluation") as claims:
        (said,) = run_status(tmp_path / "run").at_work
        assert said["process"] == claims.said["process"]


def test_what_is_no_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ManifestError):
            run_status(folder)
    with pytest.raises(RequestError, match="parts"):
        run_status(tmp_path, 0)


def test_the_command_says_what_to_submit_again(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    evaluate(clips, tmp_path / "run", replace_metrics("length"), spread=Spread(Shard(1, 3)))
    result = CliRunner().invoke(app, ["status", str(tmp_path / "run")])
    assert result.exit_code == 1 and "submit again: --array=1,2" in result.output, result.output
    evaluate(clips, tmp_path / "run", replace_metrics("length"))
    result = CliRunner().invoke(app, ["status", str(tmp_path / "run"), "--parts", "2"])
    assert result.exit_code == 0 and f"{len(clips)} of {len(clips)} clips done" in result.output


def replace_metrics(*names: str) -> EvaluateSettings:
    return TOY.model_copy(update={"metrics": names})
