"""The wheel: one top-level name, all data inside, nothing of other people's; it works from outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tracked files."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("the list of tracked files needs git")
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(folder / "source")]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """Folder with the unpacked wheel, to be put first on the path."""
    folder = wheel.parent / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_one_top_level_name(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"mmbench"}


def test_data_is_inside_and_the_kit_is_not(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "mmbench/py.typed",
        "mmbench/weights/data/metrics.yaml",
        "mmbench/published/table1_v1.yaml",
        "mmbench/testsets/synthetic50/leaderboard.yaml",
        "mmbench/testsets/synthetic50/manifest.csv",
    ):
        assert wanted in names
    assert sum(name.startswith("mmbench/testsets/synthetic50/controls/") for name in names) >= 400
    assert not [name for name in names if name.endswith((".npz", ".obj", ".target", ".mhclo", ".pth", ".dat"))]


def test_the_main_job_starts_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    """Plan of the bundled run, from another folder: every clip and reference is found inside the installed package."""
    code = (
        "import mmbench, mmbench.studies.whole_run as j; from mmbench.config import RunSettings;"
        "p = j.default_settings();"
        "items = j.given_items(RunSettings.from_yaml(p), p.parent).items;"
        "assert all(i.video.is_file() and all(r.is_file() for r in i.references) for i in items);"
        "print(mmbench.__file__, len(items))"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, count = done.stdout.split()
    assert where.startswith(str(installed))
    assert int(count) == 400
