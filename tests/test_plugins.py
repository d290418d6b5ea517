"""Plug-ins are proven by a toy package that registers a metric and a model through entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

METRIC = '''
from typing import ClassVar

from mmbench.metrics.base import ClipMetric, Evidence, MetricFacts
from mmbench.scores import Score


class Length(ClipMetric):
    """Frames of the clip."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        "length", "Length", True, "frames", (1.0, None), "Number of frames.", "toy package"
    )

    def measure(self, evidence: Evidence) -> list[Score]:
        return [Score.ok("length", evidence.clip.n_frames)]


class Sound(Length):
    """The same, aloud."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        "sound", "Sound", True, "frames", (1.0, None), "Frames, aloud.", "toy package"
    )
'''


def install_toy(folder: Path, entry_points: str) -> dict[str, str]:
    """Lay out an installed distribution named toy and return an environment that sees it."""
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    (folder / "toy_metric.py").write_text(METRIC)
    return {**os.environ, "PYTHONPATH": str(folder)}


def mmbench(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmbench", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_metric_of_another_package_is_found(tmp_path: Path) -> None:
    environment = install_toy(tmp_path, "[mmbench.metrics]\nlength = toy_metric:Length\n")
    done = mmbench(environment, "explain", "length")
    assert done.returncode == 0, done.stderr
    assert "Number of frames." in done.stdout


BROKEN = {
    "absent": ("length = no_such_module:Length", "No module named 'no_such_module'"),
    "raising": ("length = toy_raising:Length", "ZeroDivisionError"),
    "no metric": ("length = toy_metric:ClipMetric", "is no metric"),
    "a name taken": ("face_rate = toy_metric:Length", "already exists"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plug_in_is_named_and_stops_nothing_else(how: str, tmp_path: Path) -> None:
    point, reason = BROKEN[how]
    environment = install_toy(tmp_path, f"[mmbench.metrics]\n{point}\nsound = toy_metric:Sound\n")
    (tmp_path / "toy_raising.py").write_text("1 / 0\n")
    everything = mmbench(environment, "explain", "all")
    assert everything.returncode == 0, everything.stderr
    assert "Frames, aloud" in everything.stdout and "face_rate" in everything.stdout
    name = point.split()[0]
    if name == "length":
        asked = mmbench(environment, "explain", "length")
        assert asked.returncode == 2 and reason in asked.stderr and "Traceback" not in asked.stderr
    doctor = mmbench(environment, "doctor")
    line = next(line for line in doctor.stdout.splitlines() if " plug-in " in line)
    assert name in line and reason in line and "package toy" in line
    assert "ok      metric   sound: ready" in doctor.stdout


def test_evaluating_goes_on_beside_a_broken_plug_in(tmp_path: Path) -> None:
    environment = install_toy(tmp_path, "[mmbench.metrics]\nlength = absent:Length\nsound = toy_metric:Sound\n")
    code = """
import warnings
from mmbench.config import EvaluateSettings
from mmbench.runs.evaluate.clip import make_metrics
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    assert "sound" in make_metrics(EvaluateSettings()) and "length" not in make_metrics(EvaluateSettings())
assert "'length'" in str(told[0].message) and "absent" in str(told[0].message), told
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
