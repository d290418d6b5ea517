"""Batches: resume, workers, files; and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmbench.cli.synth import app
from mmbench.engine.shard import Shard
from mmbench.errors import RequestError
from mmbench.synth.batch import ClipJob, jobs, people, render_batch
from mmbench.synth.kit import Kit
from mmbench.video.read import open_clip

TINY = ClipJob("man-00", "nod", frames=3, height=64, width=64, truth=True)


def test_a_batch_continues_where_it_stopped(kit: Kit, tmp_path: Path) -> None:
    todo = jobs(["man-00"], ["nod"], clips=2, like=TINY)
    (first,) = render_batch(todo[:1], tmp_path)
    stamp = first.stat().st_mtime_ns
    seen: list[tuple[int, int, str]] = []
    videos = render_batch(todo, tmp_path, progress=lambda *step: seen.append(step))
    assert videos[0] == first and first.stat().st_mtime_ns == stamp
    assert len(videos) == 2 and all(v.is_file() for v in videos)
    assert seen == [(1, 2, "clips"), (2, 2, "clips")]
    with np.load(videos[0].with_suffix(".npz")) as truth:
        assert truth["landmarks"].shape == (3, 68, 2)
        assert truth["flow"].shape == (2, 64, 64, 2)
        assert truth["pose"].shape == (3, 3)
        assert truth["labels"].dtype == np.uint8
    assert json.loads(videos[0].with_suffix(".json").read_text())["identity"] == "man-00"


@pytest.mark.slow
def test_workers_write_the_same_files(kit: Kit, tmp_path: Path) -> None:
    todo = jobs(["man-00", "girl-03"], ["nod"], like=TINY)
    one = render_batch(todo, tmp_path / "one", workers=1)
    two = [*render_batch(todo, tmp_path / "two", workers=2, shard=Shard(2, 2))]
    two += render_batch(todo, tmp_path / "two", shard=Shard(1, 2))
    assert sorted(path.name for path in two) == sorted(path.name for path in one)
    two = [path.parent.parent / "two" / path.name for path in one]
    for a, b in zip(one, two, strict=True):
        first, second = (np.stack([*open_clip(path).frames()]).astype(int) for path in (a, b))
        assert np.abs(first - second).mean() < 0.1  # of 255: processes of their own may round otherwise
        with np.load(a.with_suffix(".npz")) as left, np.load(b.with_suffix(".npz")) as right:
            assert left.files == right.files
            for name in left.files:
                np.testing.assert_allclose(left[name], right[name], atol=1e-3)


def test_jobs_are_numbered_apart() -> None:
    made = jobs(people(14), ["nod", "smile"], clips=3)
    assert len({job.name for job in made}) == len(made) == 84
    assert len({job.seed for job in made}) == 84
    assert len({job.identity for job in made}) == 14


@pytest.mark.parametrize(
    ("identity", "motion", "change"),
    [("nobody-1", "nod", {}), ("man-00", "fly", {}), ("man-00", "nod", {"frames": 0})],
)
def test_bad_jobs_are_refused(identity: str, motion: str, change: dict[str, int]) -> None:
    like = ClipJob("man-00", "nod", frames=change.get("frames", 3))
    with pytest.raises(RequestError):
        jobs([identity], [motion], like=like)  # type: ignore[list-item]


def test_render_command(kit: Kit, tmp_path: Path) -> None:
    arguments = [
        "render",
        "--identity",
        "baby-03",
        "--motion",
        "smile",
        "--size",
        "64x96",
        "--frames",
        "2",
        "--out",
        str(tmp_path),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert [p.name for p in tmp_path.glob("*.mp4")] == ["baby-03_smile_00000_96x64x2.mp4"]


def test_kit_path_command(kit: Kit, kit_file: Path) -> None:
    done = CliRunner().invoke(app, ["kit", "path"])
    assert done.exit_code == 0
    assert done.output.strip() == str(kit_file)


def test_render_command_wants_somebody(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["render", "--out", str(tmp_path)])
    assert done.exit_code != 0
    assert isinstance(done.exception, RequestError)
