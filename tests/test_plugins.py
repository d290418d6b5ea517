"""Plug-ins are proven by a toy package that registers a metric and a model through entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

METRIC = '''
from typing import ClassVar

from mmbench.metrics.base import ClipMetric, Evidence, MetricFacts, Need
from mmbench.score import Score


class Length(ClipMetric):
    """Frames of the clip."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        "length", "Length", True, "frames", (1.0, None), "Number of frames.", "toy package"
    )
    needs: ClassVar[frozenset[Need]] = frozenset()

    def measure(self, evidence: Evidence) -> list[Score]:
        return [Score.ok("length", evidence.clip.n_frames)]
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


def test_a_plug_in_may_not_replace_a_metric(tmp_path: Path) -> None:
    environment = install_toy(tmp_path, "[mmbench.metrics]\nface_rate = toy_metric:Length\n")
    done = mmbench(environment, "explain", "all")
    assert done.returncode == 2
    assert "already exists" in done.stderr
    assert "Traceback" not in done.stderr
