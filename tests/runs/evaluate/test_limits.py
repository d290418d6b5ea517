"""A clip beyond a bound is a row that names it; whoever trusts the clip raises the bound and goes on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mmbench.config import EvaluateSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.video.write import write_video


def settings(**limits: int) -> EvaluateSettings:
    return EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"}, limits=limits)


def items(folder: Path) -> list[Item]:
    frames = [np.roll(np.arange(64 * 96 * 3, dtype=np.uint8).reshape(64, 96, 3), 2 * k, axis=1) for k in range(8)]
    write_video(folder / "good.mp4", frames, 8)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "device.mp4").symlink_to("/dev/zero")
    with (folder / "endless.mp4").open("wb") as sparse:
        sparse.write((folder / "good.mp4").read_bytes())
        sparse.truncate(1 << 42)
    names = ("good", "pipe", "device", "endless")
    return [Item(id=name, model="m", identity="i", video=folder / f"{name}.mp4") for name in names]


def test_what_never_ends_is_a_row_and_the_others_are_measured(tmp_path):
    clips = items(tmp_path)
    for _ in range(2):  # the second time every file is asked whether it has changed
        rows = {row.item.id: row for row in evaluate(clips, tmp_path / "run", settings()).rows}
        assert rows["good"].error is None and rows["good"].score("motion_smoothness").value is not None
        said = {name: row.error.message for name, row in rows.items() if row.error}
        assert set(said) == {"pipe", "device", "endless"}
        assert "no regular file" in said["pipe"] and "no regular file" in said["device"]
        assert "limits.max_bytes" in said["endless"]


def test_limits_are_settings_and_a_raised_one_is_tried_again(tmp_path, monkeypatch):
    (good, *_) = items(tmp_path)
    (row,) = evaluate([good], tmp_path / "run", settings(max_frames=5)).rows
    assert "limits.max_frames" in row.error.message and "--retry" in row.error.remedy
    (row,) = evaluate([good], tmp_path / "run", settings(max_frames=8), retry=True).rows
    assert row.error is None
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))  # flows that are kept cost no memory
    (row,) = evaluate([good], tmp_path / "other", settings(memory=1000)).rows
    score = row.score("motion_smoothness")
    assert score.status == "missing" and "limits.memory" in score.reason
