"""Times of an evaluation: parts add up to the whole, from whatever process, and rows stay as they are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.config import EvaluateSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.profile import DECODING, LOADING, METRICS, REST, Stopwatch, profiled, read_profile
from mmbench.runs.inputs.manifest import write_manifest

METRICS_HERE = EvaluateSettings(metrics=("length", "brightness", "motion_smoothness"), flow={"backend": "dis"})  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_add_up_to_the_rows_own_seconds(
    workers: int, toy_metrics: Path, clips: list[Item], tmp_path: Path
) -> None:
    with profiled(tmp_path / "times"):
        result = evaluate(clips[:6], tmp_path / "run", METRICS_HERE, workers=workers)
    count, parts = read_profile(tmp_path / "times")
    by_name = {part.name: part for part in parts}
    assert count == 6 and len(list((tmp_path / "times").iterdir())) in range(1, workers + 1)
    assert sum(part.seconds for part in parts) == pytest.approx(sum(row.seconds for row in result.rows), abs=0.01)
    assert sum(part.share for part in parts) == pytest.approx(1.0)
    networks = set(by_name) - {DECODING, METRICS, REST}
    assert {name for name in networks if name.startswith(LOADING)} and any("flow" in name for name in networks)
    assert all(part.seconds >= -0.01 for part in parts)
    plain = evaluate(clips[:6], tmp_path / "plain", METRICS_HERE)
    assert [[s.value for s in row.scores] for row in plain.rows] == [
        [s.value for s in row.scores] for row in result.rows
    ]
    assert not (tmp_path / "plain" / "profile").exists()


def test_what_stands_inside_a_block_is_not_counted_twice(tmp_path: Path) -> None:
    watch = Stopwatch(tmp_path)
    with watch.watch("outer"):
        time.sleep(0.02)
        with watch.watch("inner"):
            time.sleep(0.03)
            with watch.within("innermost"):
                time.sleep(0.02)
    with watch.within("nowhere"):
        pass
    watch.write("a", 10, 0.1, 0.0)
    _, parts = read_profile(tmp_path)
    found = {part.name: part.seconds for part in parts}
    assert found["inner"] >= 0.03 and found["outer"] >= 0.02 and found["innermost"] >= 0.02
    assert "nowhere" not in found
    assert sum(found.values()) == pytest.approx(0.1)


def test_the_command_prints_the_table(toy_metrics: Path, clips: list[Item], tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.csv", clips[:2])
    asked = [
        "evaluate",
        "--manifest",
        str(tmp_path / "m.csv"),
        "--metrics",
        "brightness",
        "--out",
        str(tmp_path / "run"),
    ]
    first = CliRunner().invoke(app, [*asked, "--profile"])
    assert first.exit_code == 0, first.output
    assert "2 clips, all processes together" in first.output and "decoding" in first.output
    again = CliRunner().invoke(app, [*asked, "--profile"])
    assert "Nothing was measured now" in again.output
