"""Tiny clips and a toy metric package for tests of the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmbench.items import Item
from mmbench.video.write import write_video

TOY_METRIC = '''
import time
from typing import ClassVar

from mmbench.metrics.base import ClipMetric, Evidence, MetricFacts, Need
from mmbench.score import Score


def facts(name: str) -> MetricFacts:
    return MetricFacts(name, name, True, "frames", (None, None), "toy", "toy")


class Length(ClipMetric):
    """Frames of the clip, slowly."""

    facts: ClassVar[MetricFacts] = facts("length")
    needs: ClassVar[frozenset[Need]] = frozenset()

    def measure(self, evidence: Evidence) -> list[Score]:
        time.sleep(0.02)
        return [Score.ok("length", evidence.clip.n_frames + evidence.clip.width / 1000)]


class Faulty(ClipMetric):
    """Fails on clips of 4 frames."""

    facts: ClassVar[MetricFacts] = facts("faulty")
    needs: ClassVar[frozenset[Need]] = frozenset()

    def measure(self, evidence: Evidence) -> list[Score]:
        if evidence.clip.n_frames == 4:
            raise RuntimeError("a fault")
        return [Score.ok("faulty", 1.0)]
'''


@pytest.fixture(scope="session")
def toy_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an installed-looking distribution that registers the metrics `length` and `faulty`."""
    folder = tmp_path_factory.mktemp("toy")
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    points = "[mmbench.metrics]\nlength = engine_toy_metric:Length\nfaulty = engine_toy_metric:Faulty\n"
    (info / "entry_points.txt").write_text(points)
    (folder / "engine_toy_metric.py").write_text(TOY_METRIC)
    return folder


@pytest.fixture
def toy_metrics(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy package, visible to this process and to those it spawns."""
    from mmbench.metrics.registry import plug_ins

    monkeypatch.syspath_prepend(str(toy_package))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(toy_package), os.environ.get("PYTHONPATH", "")]))
    plug_ins.cache_clear()
    yield toy_package
    plug_ins.cache_clear()
    sys.modules.pop("engine_toy_metric", None)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """24 clips of two models: a square that moves at different speeds over noise, 64x64, 3 to 10 frames."""
    folder = tmp_path_factory.mktemp("clips")
    items = []
    for number in range(24):
        rng = np.random.default_rng(number)
        background = rng.integers(0, 255, (64, 64, 3), np.uint8)
        frames = []
        for t in range(3 + number % 8):
            frame = background.copy()
            x = (t * (number % 5)) % 40
            frame[20:40, x : x + 20] = (255, 40, 40)
            frames.append(frame)
        model = "even" if number % 2 == 0 else "odd"
        path = folder / model / f"p{number // 2:02d}_0.mp4"
        write_video(path, frames, 8)
        items.append(Item(f"{model}/p{number // 2:02d}_0", model, f"p{number // 2:02d}", path, prompt_index=0))
    return items
