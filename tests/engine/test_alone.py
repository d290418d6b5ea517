"""One process at a time: whoever comes second is told who is there, and the dead hold nothing."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mmbench.engine.alone import alone
from mmbench.errors import BusyFolder


def hold(folder: Path, pipe: Connection) -> None:
    with alone(folder, "an evaluation"):
        pipe.send("held")
        pipe.recv()


@pytest.mark.parametrize("end", ["leave", "kill"])
def test_another_process_is_named_and_its_end_frees_the_folder(tmp_path: Path, end: str) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path / "run", theirs))
    process.start()
    try:
        assert ours.recv() == "held"
        for _ in range(2):  # being refused leaves the holder's account as it was
            with (
                pytest.raises(BusyFolder, match=f"an evaluation .process {process.pid} on "),
                alone(tmp_path / "run", ""),
            ):
                pass
        if end == "kill":
            process.kill()
        else:
            ours.send("enough")
        process.join()
    finally:
        process.kill()
    with alone(tmp_path / "run", "an evaluation"):
        assert (tmp_path / "run").is_dir()


def test_the_same_process_counts_as_another(tmp_path: Path) -> None:
    with (
        alone(tmp_path, "a build"),
        pytest.raises(BusyFolder, match=f"a build .process {os.getpid()} on "),
        alone(tmp_path, "a build"),
    ):
        pass


def test_nothing_stays_of_work_that_left_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), alone(tmp_path / "new", "a build"):
        raise ValueError
    assert not (tmp_path / "new").exists()
    with alone(tmp_path / "kept", "a build"):
        (tmp_path / "kept" / "rows").mkdir()
    assert [path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()] == ["rows"]
