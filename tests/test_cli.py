"""The command line as a user meets it: exit codes, one-message errors, the way from clips to a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.video.write import write_video


def mmbench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two moving clips, a broken one, a reference."""
    root = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(root / "anna.png")
    for number in range(2):
        background = rng.integers(0, 255, (64, 96, 3), np.uint8)
        frames = [np.roll(background, 6 * number * t, axis=1) for t in range(9)]
        write_video(root / "videos" / f"anna_{number}.mp4", frames, 8)
    return root


def test_from_clips_to_a_report(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--references", folder / "anna.png", "--metrics", "dynamic_degree", "--flow-backend", "dis")
    done = mmbench("evaluate", folder / "videos", *options, "--out", run, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 clips measured" in done.stdout
    again = mmbench("evaluate", folder / "videos", *options, "--out", run, "--workers", "1")
    assert "(0 now)" in again.stdout
    report = mmbench("report", run)
    assert report.returncode == 0, report.stderr
    table = json.loads((run / "report" / "leaderboard.json").read_text())
    assert table
    page = (run / "report" / "index.html").read_text()
    assert "anna_0" in page
    assert str(folder) not in page


def test_a_broken_clip_makes_the_exit_code_1(folder: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "anna_0.mp4").write_bytes((folder / "videos" / "anna_0.mp4").read_bytes())
    (videos / "anna_9.mp4").write_bytes(b"nothing of a video")
    done = mmbench(
        *("evaluate", videos, "--references", folder / "anna.png", "--out", tmp_path / "run", "--workers", "1"),
        *("--metrics", "dynamic_degree", "--flow-backend", "dis"),
    )
    assert done.returncode == 1
    assert "1 of 2 clips measured" in done.stdout
    assert "anna_9.mp4" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate",), "Nothing to evaluate"),
        (("evaluate", "no-such-folder", "--references", "x.png"), "no such file or folder"),
        (("evaluate", "--manifest", "no-such.csv"), "cannot be read: No such file"),
        (("report", "no-such-run"), "no such folder"),
        (("generate", "--model", "magic-mirror", "--prompt", "a man img", "--device", "cuda:99"), "CUDA devices"),
        (("explain", "no_such_metric"), "There is no metric"),
        (("explain", "id_simularity"), "Did you mean id_similarity"),
        (("run", "no-such-settings.yaml"), "cannot be read as YAML"),
    ],
)
def test_user_errors_are_one_message_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    done = mmbench(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reference_without_a_face_stops_before_any_clip(folder: Path, tmp_path: Path) -> None:
    done = mmbench(
        *("evaluate", folder / "videos", "--references", folder / "anna.png", "--out", tmp_path / "run"),
        *("--metrics", "id_similarity", "--workers", "1"),
    )
    assert done.returncode == 2
    assert "anna.png" in done.stderr
    assert not list((tmp_path / "run").glob("rows/*"))


def test_explain_lists_every_number() -> None:
    done = mmbench("explain", "all")
    assert done.returncode == 0
    for name in ("dynamic_degree", "fm_inter_local", "id_margin", "success_average"):
        assert name in done.stdout


def test_doctor_says_what_each_metric_needs() -> None:
    done = mmbench("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any("id_similarity: ready" in line for line in lines)
    assert any("dynamic_degree" in line and "mmbench weights get" in line for line in lines)


def test_version() -> None:
    assert mmbench("--version").stdout.startswith("mmbench ")


def test_an_output_that_cannot_be_written_is_one_message(folder: Path, tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where a folder is wanted")
    done = mmbench("evaluate", folder / "videos", "--references", folder / "anna.png", "--out", occupied)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"error: {occupied}" in done.stderr


def test_ctrl_c_says_how_to_continue(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mmbench.cli import main

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmbench.runs.inputs.folder.collect_folder", interrupted)
    monkeypatch.setattr("sys.argv", ["mmbench", "evaluate", "videos", "--references", "anna.png"])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 130
    assert "run the same command again" in capsys.readouterr().err


def test_a_repaired_clip_is_measured_again(folder: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    clip = videos / "anna_0.mp4"
    clip.write_bytes(b"")
    command = ("evaluate", videos, "--references", folder / "anna.png", "--out", tmp_path / "run", "--workers", "1")
    command = (*command, "--metrics", "dynamic_degree", "--flow-backend", "dis")
    assert "--retry" not in mmbench(*command).stdout
    assert "--retry" in mmbench(*command).stdout
    clip.write_bytes((folder / "videos" / "anna_0.mp4").read_bytes())
    assert "1 of 1 clips measured (1 now)" in mmbench(*command).stdout


def test_the_list_of_commands_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands = mmbench("--help").stdout.partition("Commands:")[2]
    assert "weights" in commands
    assert "..." not in commands
