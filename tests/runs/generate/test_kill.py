"""A run killed with SIGKILL at random points and started again ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmbench.runs.evaluate.items import read_manifest
from mmbench.video.read import open_clip

VIDEOS = 200
HANG = 3600.0  # seconds: a guard against waiting for ever, beyond what any machine needs
DRIVER = """
import sys
from pathlib import Path
from mmbench.config import GenerateSettings
from mmbench.runs.generate.make import generate
settings = GenerateSettings(models=(f"killed_toy:{sys.argv[3]}",), first_frame="killed_toy:Opening")
generate(settings, sys.argv[1], Path(sys.argv[2]))
"""
TOY = """
import os
import time
import numpy as np
from PIL import Image
from mmbench.baselines.contract import Baseline, FirstFrame, Native, Video, VideoInfo

class Toy(Baseline):
    name = "toy"
    kind = "identity"

    def native(self, variant=None):
        return Native(size=(32, 32), frames=3, fps=8)

    def load(self, device, dtype, variant, weights_dir):
        pass

    def generate(self, request):
        time.sleep(0.005)
        with open(os.environ["TOY_LOG"], "a") as log:
            log.write(f"{request.seed}\\n")
        rng = np.random.default_rng(request.seed)
        frames = rng.integers(0, 255, (3, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        return Video(frames, 8.0, VideoInfo(request.seed, 0.0, None, request.prompt, False))

class I2V(Toy):
    name = "i2v"
    kind = "i2v"

class Opening(FirstFrame):
    name = "opening"

    def load(self, device, dtype, variant, weights_dir):
        pass

    def make(self, prompt, references, size, seed, negative=None):
        time.sleep(0.005)
        return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))
"""


def finished(out: Path) -> int:
    return len(list((out / "videos").glob("[!.]*.json")))


def start(code: Path, testset: Path, out: Path, model: str = "Toy") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(code), "TOY_LOG": str(code / "log")}
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(testset), str(out), model], env=environment)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    import json

    import numpy as np
    from PIL import Image

    code = tmp_path / "code"
    code.mkdir()
    (code / "killed_toy.py").write_text(TOY)
    testset = tmp_path / "set"
    (testset / "references").mkdir(parents=True)
    rows, lines = [], ["identity,prompt_index,prompt,prompt_long"]
    for number in range(VIDEOS // 4):
        name = f"man_{number:02d}"
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(testset / "references" / f"{name}.png")
        reference = f"references/{name}.png"
        rows.append({"id": name, "group": "man", "class_word": "man", "references": [reference]})
        lines += [f"{name},{index},a man img,a man img waves" for index in range(4)]
    (testset / "identities.json").write_text(json.dumps({"name": "kill", "identities": rows}))
    (testset / "prompts.csv").write_text("\n".join(lines) + "\n")
    return code, testset


def test_killed_five_times_equals_uninterrupted(places, tmp_path):
    code, testset = places
    out, whole = tmp_path / "killed", tmp_path / "whole"
    assert start(code, testset, whole).wait(HANG) == 0
    dice = random.Random(5)
    for kill in range(1, 6):
        process = start(code, testset, out)
        target = kill * 25 + dice.randrange(-8, 8)  # far from the end: the kill must come before it
        deadline = time.monotonic() + HANG
        while finished(out) < target and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait(HANG) == -signal.SIGKILL, "the run ended before it was killed"
        assert finished(out) < VIDEOS
    assert start(code, testset, out).wait(HANG) == 0

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((folder / "videos").iterdir()) if path.suffix == ".mp4"}

    assert contents(out) == contents(whole)
    assert len(contents(out)) == VIDEOS
    assert {path.suffix for path in (out / "videos").iterdir()} == {".mp4", ".json"}, "nothing unfinished is left"
    assert (out / "manifest.csv").read_text() == (whole / "manifest.csv").read_text()
    items = read_manifest(out / "manifest.csv")
    assert len({item.id for item in items}) == len(items) == VIDEOS
    for item in items:
        assert sum(1 for _ in open_clip(item.video).frames()) == 3
    assert not (out / "failures").exists()


def test_processes_in_one_folder_share_the_work(places, tmp_path):
    code, testset = places
    crew = [start(code, testset, tmp_path / "shared") for _ in range(3)]
    assert [process.wait(HANG) for process in crew] == [0, 0, 0]
    made = (code / "log").read_text().split()
    assert len(made) == len(set(made)) == VIDEOS, "no video was made twice"
    assert finished(tmp_path / "shared") == VIDEOS
    assert start(code, testset, tmp_path / "shared").wait(HANG) == 0
    assert len((code / "log").read_text().split()) == VIDEOS
    assert len(read_manifest(tmp_path / "shared" / "manifest.csv")) == VIDEOS


def test_killed_among_first_frames_makes_the_same_pictures(places, tmp_path):
    code, testset = places
    out, whole = tmp_path / "killed", tmp_path / "whole"
    assert start(code, testset, whole, "I2V").wait(HANG) == 0
    for target in (20, 90):
        process = start(code, testset, out, "I2V")
        deadline = time.monotonic() + HANG
        while len(pictures(out)) < target and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(HANG) == -signal.SIGKILL
        assert finished(out) == 0, "no video is made before all first frames are"
    assert start(code, testset, out, "I2V").wait(HANG) == 0
    assert pictures(out) == pictures(whole)
    assert len(pictures(out)) == finished(out) == VIDEOS
    assert {path.suffix for path in (out / "first_frames").iterdir() if path.is_file()} == {".png", ".json"}
    assert (out / "manifest.csv").read_text() == (whole / "manifest.csv").read_text()


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "first_frames").glob("[!.]*.png")}
