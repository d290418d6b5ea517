"""A clip beyond a bound is a row that names it; whoever trusts the clip raises the bound and goes on."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmbench.config import EvaluateSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.video.write import write_video


def chosen(**limits: int) -> EvaluateSettings:
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
        rows = {row.item.id: row for row in evaluate(clips, tmp_path / "run", chosen()).rows}
        assert rows["good"].error is None and rows["good"].score("motion_smoothness").value is not None
        said = {name: row.error.message for name, row in rows.items() if row.error}
        assert set(said) == {"pipe", "device", "endless"}
        assert "no regular file" in said["pipe"] and "no regular file" in said["device"]
        assert "limits.max_bytes" in said["endless"]


def test_limits_are_settings_and_a_raised_one_is_tried_again(tmp_path):
    (good, *_) = items(tmp_path)
    (row,) = evaluate([good], tmp_path / "run", chosen(max_frames=5)).rows
    assert "limits.max_frames" in row.error.message and "--retry" not in row.error.remedy
    (row,) = evaluate([good], tmp_path / "run", chosen(max_frames=8)).rows
    assert row.error is None


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_frames": st.sampled_from([5, 8]),
        "max_frame_pixels": st.sampled_from([64 * 95, 64 * 96]),
        "max_bytes": st.sampled_from([100, 10**8]),
        "memory": st.sampled_from([1000, 10**9]),
    },
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LIMITS, min_size=2, max_size=4))
def test_under_whatever_limits_a_run_went_on_its_rows_are_those_of_a_fresh_one(tmp_path_factory, monkeypatch, history):
    """A refusal ends with the limit that made it, a number with the one that allowed it; kept flows change nothing."""
    folder = tmp_path_factory.mktemp("limits")
    (good, *_) = items(folder)

    def said(run: Path, limits: dict[str, int]) -> list[object]:
        (row,) = evaluate([good], run, chosen(**limits)).rows
        return [row.error and row.error.message, *((s.metric, s.status, s.value, s.reason) for s in row.scores)]

    for limits in history:
        monkeypatch.setenv("MMBENCH_CACHE", str(folder / "kept"))
        grown = said(folder / "run", limits)
        monkeypatch.setenv("MMBENCH_CACHE", str(folder / f"empty-{uuid4()}"))
        assert grown == said(folder / f"fresh-{uuid4()}", limits)
