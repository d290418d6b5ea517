"""The current folder is not code, unless a class in it is named; and then whatever is installed comes first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmbench.cli.making import see_own_code

SHADOW = 'raise SystemExit("a file of the current folder was run")\n'


@pytest.mark.parametrize("named", [(), ("cogvideox", "folder:videos", "a:b/c.onnx", None, 3)])
def test_without_a_class_the_folder_is_not_looked_into(
    named: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    see_own_code(named)
    assert sys.path == before


def test_a_class_is_found_after_everything_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    see_own_code(("my.models:Mine",))
    see_own_code(("my.models:Mine",))
    assert sys.path == [*before, str(tmp_path)]


@pytest.mark.parametrize("settings", ["models: [no_such_model]", "models: [yaml:Loader]"])
def test_mmbench_run_imports_nothing_from_where_it_stands(settings: str, tmp_path: Path) -> None:
    for name in ("yaml", "numpy", "torch", "av", "json"):
        (tmp_path / f"{name}.py").write_text(SHADOW)
    (tmp_path / "run.yaml").write_text(f"testset: synthetic50\ngenerate:\n  {settings}\n")
    command = [sys.executable, "-P", "-m", "mmbench", "run", "run.yaml", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "was run" not in done.stderr + done.stdout
    assert done.returncode == 2 and ("no_such_model" in done.stderr or "yaml:Loader" in done.stderr), done.stderr


def test_a_worker_in_another_environment_does_not_either(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(SHADOW)
    (tmp_path / "json.py").write_text(SHADOW)
    code = (
        "from mmbench.baselines.remote.client import Remote\n"
        "from mmbench.errors import MMBenchError\n"
        "try:\n    Remote('no_such_model')\nexcept MMBenchError as cause:\n    print(cause.message)\n"
    )
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "was run" not in done.stderr + done.stdout and "no_such_model" in done.stdout, done.stderr
