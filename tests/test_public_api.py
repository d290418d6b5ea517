"""What `import mmbench` gives: it is there, it is loaded when first used, and its examples run as they are printed."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmbench
from mmbench.video.read import open_clip

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = tuple(name for name in mmbench.__all__ if name != "__version__")


def modules_with_examples() -> list[str]:
    """Dotted names of all sources with a doctest."""
    found = []
    for top in ("mmbench", "baselines", "testsets"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                parts = parts if top == "mmbench" else ("mmbench", *parts)
                found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(mmbench, name).__doc__ or "")


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    module = import_module(name)
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted and not done.failed


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, on a folder of two videos and their person's picture."""
    bundled = mmbench.load_testset("synthetic50").folder
    (tmp_path / "VIDEOS").mkdir()
    for name in ("man-00_0.mp4", "man-01_1.mp4"):
        shutil.copy(bundled / "controls" / "still" / name, tmp_path / "VIDEOS")
    for name in ("man-00", "man-01"):
        shutil.copytree(bundled / "references" / name, tmp_path / "PEOPLE" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path / "no weights"))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for name, person in (("anna", "man-00"), ("ben", "man-01")):
        picture = Image.open(bundled / "references" / person / "1.jpg")
        picture.save(tmp_path / f"{name}.png")
    frames = list(open_clip(bundled / "controls" / "still" / "man-00_0.mp4").frames())
    names = {"embeddings": np.eye(16, 128), "references": np.ones((2, 128)), "frames": np.stack(frames[:5])}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert len(names["result"].rows) == 2  # type: ignore[attr-defined]
    assert names["paths"].page.is_file()  # type: ignore[attr-defined]


def test_public_names_are_loaded_when_first_used() -> None:
    code = (
        "import sys, mmbench; before = 'mmbench.runs.evaluate.items' in sys.modules; mmbench.read_folder;"
        "print(before, 'mmbench.runs.evaluate.items' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
