"""Opening the next clip while networks look at one changes no row, and nothing of it is left when work ends early."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmbench.config import EvaluateSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.work import work
from mmbench.video.ahead import Room
from mmbench.video.upcoming import Upcoming

TOY = EvaluateSettings(metrics=("brightness", "brightness_range", "length", "faulty"))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The clips that are begun ahead of their turn in this process, from now on."""
    seen: list[Path] = []

    class Noted(Upcoming):
        def __init__(
            self, path: Path, fps: float | None, limits: object, room: Room, by: str, *, decode: bool = True
        ) -> None:
            seen.append(path)
            super().__init__(path, fps, limits, room, by, decode=decode)  # type: ignore[arg-type]

    monkeypatch.setattr("mmbench.video.upcoming.Upcoming", Noted)
    return seen


def told(result: EvaluateResult) -> list[object]:
    """Rows without how long they took."""
    return [
        replace(row, seconds=0.0, scores=tuple(replace(score, seconds=0.0) for score in row.scores))
        for row in sorted(result.rows, key=lambda row: row.item.id)
    ]


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("decode", "next clip")]


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_are_those_of_clips_opened_in_their_turn(
    workers: int,
    tmp_path: Path,
    mixed: list[Item],
    toy_metrics: Path,
    begun: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead = evaluate(mixed, tmp_path / "ahead", TOY, workers=workers)
    assert not running()
    if workers == 1:
        assert begun == [item.video for item in mixed[1:]]
    monkeypatch.setattr(Gatherer, "expect", lambda *_, **__: None)
    begun.clear()
    in_turn = evaluate(mixed, tmp_path / "in turn", TOY, workers=1)
    assert begun == []
    assert told(ahead) == told(in_turn)
    assert {row.item.id for row in ahead.failed} == {mixed[number].id for number in (2, 3, 6)}


def test_interrupted_it_ends_what_was_begun(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, begun: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = work

    def interrupted(*given: Any, **options: Any) -> None:
        original(*given, **{**options, "on_row": stop})

    def stop(row: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("mmbench.runs.evaluate.evaluate.work", interrupted)
        evaluate(clips[:6], tmp_path / "run", TOY)
    assert begun and not running()
    result = evaluate(clips[:6], tmp_path / "run", TOY)
    assert result.measured_now == 5 and len(result.rows) == 6


def test_where_a_process_died_nothing_is_begun_beside(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, begun: list[Path]
) -> None:
    run, code = tmp_path / "run", "import sys; from pathlib import Path; from mmbench.engine.claims import Claims\n"
    code += "claims = Claims(Path(sys.argv[1])).__enter__()\nassert claims.take(sys.argv[2])\n"
    code += "import os; os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(run), clips[2].id], check=False)
    evaluate(clips[:5], run, TOY)
    assert begun == [clips[number].video for number in (1, 2, 4)]
