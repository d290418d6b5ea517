"""What is said of inputs before work starts, kept in the record, or refused; a manifest to finish."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.errors import ManifestError
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.inputs.manifest import collect_manifest
from mmbench.video.write import write_video

MEASURE = ("--metrics", "motion_smoothness", "--flow-backend", "dis", "--workers", "1")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "v"
    frames = [np.full((64, 64, 3), 20 * k, np.uint8) for k in range(5)]
    write_video(folder / "anna_0.mp4", frames, 8)
    for name in ("anna.png", "bea.png"):
        (tmp_path / "people").mkdir(exist_ok=True)
        (tmp_path / "people" / name).write_bytes(b"a picture that nobody looks at here")
    return folder


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_inputs_are_told_and_kept_and_refused_where_strict(videos: Path, tmp_path: Path) -> None:
    (videos / "notes.txt").touch()
    (videos / "back").symlink_to("..")
    given = ("evaluate", videos, "--references", tmp_path / "people", *MEASURE)
    with pytest.raises(ManifestError, match=r"Refused, as strict asks: passed over in v: back .*\(and 2 more\)"):
        run(*given, "--out", tmp_path / "never", "--strict")
    assert not (tmp_path / "never").exists()
    said = run(*given, "--out", tmp_path / "run [v2]")
    assert said.index("1 model x 1 identity x 1 clip = 1 clip") < said.index("1 of 1 clips measured")
    assert "run [v2]" in said.replace("\n", "")
    notes = json.loads((tmp_path / "run [v2]" / "manifest.json").read_text())["attempts"][-1]["notes"]
    for part in ("back (a link to a folder it lies in)", "notes.txt (no video by its name)", "no clip shows bea"):
        assert any(part in note for note in notes), part
        assert part in said


def test_a_folder_without_references_is_measured_as_far_as_it_can_be(videos: Path, tmp_path: Path) -> None:
    said = run("evaluate", videos, *MEASURE, "--out", tmp_path / "run")
    assert "note: no references were given" in said
    rows, _ = read_rows(tmp_path / "run")
    assert [(row.item.identity, row.item.references) for row in rows] == [("anna_0", ())]


def test_names_that_are_no_utf_8_are_measured_and_stored(videos: Path, tmp_path: Path) -> None:
    try:
        (videos / os.fsdecode(b"anna_caf\xe9.mp4")).write_bytes((videos / "anna_0.mp4").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    said = run("evaluate", videos, "--references", tmp_path / "people", *MEASURE, "--out", tmp_path / "run")
    assert "2 of 2 clips measured" in said
    rows, _ = read_rows(tmp_path / "run")
    assert sorted(row.item.id for row in rows) == ["v/anna_0", "v/anna_caf\\xe9"]
    assert all(row.item.video.exists() for row in rows)


def test_a_report_of_a_broken_clip_whose_name_is_no_utf_8(videos: Path, tmp_path: Path) -> None:
    broken = videos / os.fsdecode(b"anna_caf\xe9.mp4")
    try:
        broken.write_bytes((videos / "anna_0.mp4").read_bytes()[:700])
    except OSError:
        pytest.skip("this file system takes no such name")
    arguments = ["evaluate", videos, "--references", tmp_path / "people", *MEASURE, "--out", tmp_path / "run"]
    assert CliRunner().invoke(app, [str(argument) for argument in arguments]).exit_code == 1
    run("report", tmp_path / "run")
    assert "anna_caf" in (tmp_path / "run" / "report" / "index.html").read_text(encoding="utf-8")


def test_a_manifest_is_written_for_a_person_to_finish(videos: Path, tmp_path: Path) -> None:
    (videos / "who.mp4").write_bytes((videos / "anna_0.mp4").read_bytes())
    out = tmp_path / "m.csv"
    said = run("manifest", videos, "--references", tmp_path / "people", "--name", "ours", "--out", out)
    assert "2 lines" in said
    items = collect_manifest(out).items
    assert [(item.model, item.video.name, bool(item.references)) for item in items] == [
        ("ours", "anna_0.mp4", True),
        ("ours", "who.mp4", False),
    ]
    with pytest.raises(ManifestError, match="is there already"):
        run("manifest", videos, "--out", out)


def test_a_manifest_and_a_folder_are_not_both_taken(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="A manifest and a folder"):
        run("evaluate", videos, "--manifest", tmp_path / "m.csv", "--references", tmp_path / "people")
