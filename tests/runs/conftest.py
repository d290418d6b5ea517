"""Tiny clips and a toy metric package for tests of the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmbench.items import Item
from mmbench.video.write import write_video

TOY_METRIC = '''
import os
import time
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np

from mmbench.errors import MissingWeights
from mmbench.metrics.base import (
    ClipMetric, Evidence, FrameNeed, Maker, MetricFacts, Need, Networks, SetMetric, StoredFeatures
)
from mmbench.scores import Score


def facts(name: str, scope: str = "clip") -> MetricFacts:
    return MetricFacts(name, name, True, "frames", (None, None), "toy", "toy", scope=scope)


class Length(ClipMetric):
    """Frames of the clip, slowly."""

    facts: ClassVar[MetricFacts] = facts("length")

    def measure(self, evidence: Evidence) -> list[Score]:
        time.sleep(0.02)
        return [Score.ok("length", evidence.clip.n_frames + evidence.clip.width / 1000)]


class Faulty(ClipMetric):
    """Fails on clips of 4 frames."""

    facts: ClassVar[MetricFacts] = facts("faulty")

    def measure(self, evidence: Evidence) -> list[Score]:
        if evidence.clip.n_frames == 4:
            raise RuntimeError("a fault")
        return [Score.ok("faulty", 1.0)]


class MeanColour:
    """A network that says how bright a picture is. Every making of one leaves a line in TOY_LOG."""

    def __init__(self) -> None:
        if os.environ.get("TOY_LACKS"):
            raise MissingWeights("The toy weights are missing.", "Get the toy weights.")
        if log := os.environ.get("TOY_LOG"):
            with open(log, "a") as file:
                print(os.getpid(), file=file)

    def __call__(self, frame: np.ndarray) -> float:
        return float(frame.mean())


class BrightnessPass:
    name = "brightness"

    def __init__(self, network: MeanColour) -> None:
        self.network = network

    def start(self, clip: Any) -> None:
        self.seen: list[float] = []

    def feed(self, index: int, frame: np.ndarray) -> None:
        if os.environ.get("TOY_FAILS_AT") == str(index):
            raise RuntimeError("the toy network fell over")
        self.seen.append(self.network(frame))

    def finish(self) -> np.ndarray:
        return np.array(self.seen)


class Brightness(FrameNeed[np.ndarray]):
    """Mean of every frame, (n_frames,)."""

    name = "brightness"

    def make(self, settings: Any, networks: Networks) -> Maker[np.ndarray]:
        network = networks.once("mean colour", MeanColour)
        return Maker(lambda: BrightnessPass(network))


class Contrast(Brightness):
    """Another need of the same network."""

    name = "contrast"


BRIGHTNESS, CONTRAST = Brightness(), Contrast()


class MeanBrightness(ClipMetric):
    facts: ClassVar[MetricFacts] = facts("brightness")
    needs: ClassVar[Collection[Need[Any]]] = (BRIGHTNESS, CONTRAST)

    def measure(self, evidence: Evidence) -> list[Score]:
        assert len(evidence[BRIGHTNESS]) == evidence.clip.n_frames
        return [Score.ok("brightness", evidence[BRIGHTNESS].mean())]


class BrightnessRange(SetMetric):
    """Largest minus smallest brightness of all frames of a model."""

    facts: ClassVar[MetricFacts] = facts("brightness_range", "set")
    needs: ClassVar[Collection[Need[Any]]] = (BRIGHTNESS,)

    def features(self, evidence: Evidence) -> StoredFeatures:
        if os.environ.get("TOY_FEATURES_FAIL") == str(evidence.clip.n_frames):
            raise RuntimeError("no features")
        return StoredFeatures(evidence.item, {"brightness": evidence[BRIGHTNESS]})

    def measure_set(self, clips: Sequence[StoredFeatures]) -> list[Score]:
        if os.environ.get("TOY_SET_FAILS"):
            raise RuntimeError("the set is too much")
        seen = np.concatenate([clip.arrays["brightness"] for clip in clips])
        return [Score.ok("brightness_range", seen.max() - seen.min())]
'''


@pytest.fixture(scope="session")
def toy_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an installed-looking distribution that brings metrics, a network and the need of it."""
    folder = tmp_path_factory.mktemp("toy")
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    classes = {"length": "Length", "faulty": "Faulty", "brightness": "MeanBrightness"}
    classes["brightness_range"] = "BrightnessRange"
    points = [f"{name} = engine_toy_metric:{made}" for name, made in classes.items()]
    (info / "entry_points.txt").write_text("\n".join(["[mmbench.metrics]", *points, ""]))
    (folder / "engine_toy_metric.py").write_text(TOY_METRIC)
    return folder


@pytest.fixture
def toy_metrics(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy package, visible to this process and to those it spawns."""
    from mmbench.metrics.registry import forget

    monkeypatch.syspath_prepend(str(toy_package))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(toy_package), os.environ.get("PYTHONPATH", "")]))
    forget()
    yield toy_package
    forget()
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


@pytest.fixture
def mixed(tmp_path: Path, clips: list[Item]) -> list[Item]:
    """Clips among which are one cut short, one that is no video and one that is not there."""
    files = {2: clips[2].video.read_bytes()[:-200], 3: b"no video", 6: None}
    items = list(clips[:9])
    for number, data in files.items():
        path = tmp_path / f"{number}.mp4"
        if data is not None:
            path.write_bytes(data)
        items[number] = replace(clips[number], video=path)
    return items
