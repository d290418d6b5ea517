"""The job script: what it asks for, and that it does its parts and stops in an orderly way, under bash."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mmbench.errors import ManifestError, RequestError
from mmbench.items import Item
from mmbench.runs.slurm import SlurmOptions, slurm_script
from mmbench.runs.status import run_status


def test_what_the_script_asks_for(tmp_path: Path) -> None:
    options = SlurmOptions(parts=6, gpus=2, cpus=3, memory="32G", time="04:00:00")
    script = slurm_script(tmp_path / "my run", options, ["evaluate", "a b", "--shard", "auto", "--out", "x"])
    lines = script.splitlines()
    asked = [
        "--array=0-5",
        "--gpus=2",
        "--cpus-per-task=3",
        "--mem=32G",
        "--time=04:00:00",
        "--job-name=mmbench-my_run",
    ]
    for line in (*asked, "--signal=B:TERM@120", "--requeue"):
        assert f"#SBATCH {line}" in lines
    (command,) = [line for line in lines if line.endswith("&")]
    assert "evaluate 'a b' --out x --shard \"$((SLURM_ARRAY_TASK_ID + 1))/6\"" in command
    assert "--gpus" not in slurm_script(tmp_path, SlurmOptions(), ["generate", "--model", "vace"])


def test_what_cannot_be_done_in_parts(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="report"):
        slurm_script(tmp_path, SlurmOptions(), ["report", "x"])
    with pytest.raises(ManifestError) as error:
        slurm_script(tmp_path, SlurmOptions())
    assert "-- evaluate" in error.value.remedy
    with pytest.raises(RequestError):
        slurm_script(tmp_path, SlurmOptions(parts=0), ["evaluate", "x"])


@pytest.mark.skipif(os.name == "nt", reason="a script for bash")
def test_the_script_does_its_parts_and_stops_when_told(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    lines = ["id,model,identity,video"]
    lines += [f"{item.id}#{k},{item.model},{item.identity},{item.video}" for k in range(6) for item in clips]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    command = ["evaluate", "--manifest", "m.csv", "--out", "run", "--metrics", "length", "--workers", "1"]
    (tmp_path / "job").write_text(slurm_script(tmp_path / "run", SlurmOptions(parts=2), command))

    def start(task: int) -> subprocess.Popen[str]:
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}
        pipe = subprocess.PIPE
        return subprocess.Popen(["bash", "job"], cwd=tmp_path, env=environment, stderr=pipe, stdout=pipe, text=True)

    first = start(0)
    while not any(path.stat().st_size for path in (tmp_path / "run").glob("rows/0000-0.jsonl")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=3600)[1]
    assert first.returncode == 143 and "Stopped. Everything finished is kept" in said
    half = run_status(tmp_path / "run").whole
    assert 0 < half.done < half.missing and half.failed == 0
    assert not (tmp_path / "run" / ".claims").exists()  # what it had was given back
    for task in (0, 1):
        job = start(task)
        errors = job.communicate(timeout=3600)[1]
        assert job.returncode == 0, errors
    assert run_status(tmp_path / "run").whole.missing == 0 and len(run_status(tmp_path / "run").parts) == 2
    again = slurm_script(tmp_path / "run", SlurmOptions(parts=2))  # the command is in the record by now
    assert again.replace("--workers 1 ", "") == (tmp_path / "job").read_text().replace("--workers 1 ", "")
