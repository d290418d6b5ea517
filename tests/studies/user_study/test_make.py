"""A new study keeps the models to itself: no name, path, tag, time or order of a clip tells which one made it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import av
import pytest

from mmbench.errors import ManifestError, MediaError
from mmbench.studies.user_study.design import read_design, read_key
from mmbench.studies.user_study.make import NewStudy, new_study
from mmbench.studies.user_study.plan import PlanOptions
from mmbench.video.read import open_clip
from tests.studies.user_study.conftest import MadeRun

SMALL = PlanOptions(sheets=4, tasks=6, repeats=1, checks=1, seed=3)


@pytest.mark.parametrize("kind", ["aspects", "pairs"])
def test_what_raters_get_does_not_name_the_model(tmp_path: Path, make_run: MadeRun, kind: str) -> None:
    run = make_run(tmp_path / "run")
    made = new_study([run], tmp_path / "study", NewStudy(kind=kind, plan=SMALL))  # type: ignore[arg-type]
    public = [(tmp_path / "study" / "study.json").read_bytes()]
    public += [path.read_bytes() for path in (tmp_path / "study" / "media").iterdir()]
    for word in (b"Alpha", b"beta", b"Gamma", b"person-", str(tmp_path).encode()):
        assert not any(word in text for text in public), word
    key = read_key(tmp_path / "study")
    assert {one.model for one in key.stimuli.values()} == {"Alpha", "beta", "Gamma"}
    assert set(key.stimuli) == {name for task in made.design.tasks for name in task.clips}
    for path in (tmp_path / "study" / "media").iterdir():
        assert re.fullmatch(r"[0-9a-f]{32}\.(mp4|jpg)", path.name)
        assert path.stat().st_mtime == 0
    if os.name == "posix":
        for name in ("study.json", "key.json", "votes.sqlite"):
            assert (tmp_path / "study" / name).stat().st_mode & 0o077 == 0


def test_clips_keep_frames_and_rate_and_lose_tags_and_sound(tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run", people=1, prompts=1)
    for video in sorted(run.glob("*/*.mp4")):
        tag_with_sound(video, title=f"made by {video.parent.name}")
    rewrite_digests(run)
    made = new_study([run], tmp_path / "study", NewStudy(plan=SMALL))
    for name in {name for task in made.design.tasks for name in task.clips}:
        path = tmp_path / "study" / "media" / name
        assert b"made by" not in path.read_bytes()
        with av.open(str(path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            assert not {"title", "comment", "encoder", "creation_time"} & {tag.lower() for tag in container.metadata}
        info = open_clip(path).info
        assert (info.n_frames, info.fps, info.width, info.height) == (4, 8.0, 64, 48)


def tag_with_sound(video: Path, title: str) -> None:
    import numpy as np

    tagged = video.with_suffix(".tagged.mp4")
    with av.open(str(video)) as source, av.open(str(tagged), "w") as target:
        target.metadata["title"] = title
        stream = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("aac", rate=16_000)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8_000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*sound.encode(frame), *sound.encode(None)):
            target.mux(packet)
    tagged.replace(video)


def rewrite_digests(run: Path) -> None:
    """As if the run had measured the files that lie there now."""
    from dataclasses import replace

    from mmbench.files import sha256_file
    from mmbench.runs.evaluate.store import RowWriter, read_rows

    rows, _ = read_rows(run)
    with RowWriter(run, "0001-0") as writer:
        for row in rows:
            assert row.clip is not None
            writer.add(replace(row, clip=replace(row.clip, sha256=sha256_file(row.item.video))))


def test_sheets_follow_the_seed_and_names_do_not(tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run")
    seen = []
    for name in ("one", "two"):
        new_study([run], tmp_path / name, NewStudy(kind="pairs", plan=SMALL))
        design, key = read_design(tmp_path / name), read_key(tmp_path / name)
        seen.append([[tuple(key.stimuli[c].item for c in design.tasks[t].clips) for t in s] for s in design.sheets])
        seen[-1].append(sorted(key.stimuli))  # type: ignore[arg-type]
    assert seen[0][:-1] == seen[1][:-1]
    assert seen[0][-1] != seen[1][-1]


def test_models_of_several_runs_meet_in_the_scenes_they_share(tmp_path: Path, make_run: MadeRun) -> None:
    first = make_run(tmp_path / "a", models=("Alpha",), people=3)
    second = make_run(tmp_path / "b", models=("Beta",), people=2)
    made = new_study([first, second], tmp_path / "study", NewStudy(kind="pairs", plan=SMALL))
    key = read_key(tmp_path / "study")
    assert {one.identity for one in key.stimuli.values()} == {"person-0", "person-1"}
    assert made.notes == ("2 clips are left out: not every model has one of that person and prompt",)


def test_a_scene_has_one_picture_whatever_models_were_given(tmp_path: Path, make_run: MadeRun) -> None:
    made = new_study([make_run(tmp_path / "run")], tmp_path / "study", NewStudy(plan=SMALL))
    key = read_key(tmp_path / "study")
    seen: dict[str, set[str]] = {}
    for task in made.design.tasks:
        seen.setdefault(key.stimuli[task.clips[0]].identity, set()).update(task.pictures)
    assert all(len(pictures) == 1 for pictures in seen.values())


def test_bad_wishes_are_refused_with_their_reason(tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run", people=1)
    with pytest.raises(ManifestError, match="no model Omega"):
        new_study([run], tmp_path / "s", NewStudy(models=("Omega",)))
    with pytest.raises(ManifestError, match="two models"):
        new_study([run], tmp_path / "s", NewStudy(kind="pairs", models=("Alpha",)))
    with pytest.raises(ManifestError, match="is in use"):
        new_study([run], run, NewStudy())
    with pytest.raises(ManifestError, match="0 sheets"):
        new_study([run], tmp_path / "s", NewStudy(plan=PlanOptions(sheets=0)))
    apart = make_run(tmp_path / "other", models=("Delta",), people=1)
    (tmp_path / "other" / "rows" / "0000-0.jsonl").write_text(
        (apart / "rows" / "0000-0.jsonl").read_text().replace("person-0", "person-9")
    )
    with pytest.raises(ManifestError, match="No person and prompt"):
        new_study([run, apart], tmp_path / "s", NewStudy())


def test_a_clip_that_has_changed_or_is_gone_stops_it(tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run", people=1)
    video = run / "Alpha" / "person-0-0.mp4"
    video.write_bytes((run / "Alpha" / "person-0-1.mp4").read_bytes())
    with pytest.raises(MediaError, match=r"Alpha/person-0/0: .*another clip"):
        new_study([run], tmp_path / "s", NewStudy(plan=SMALL))
    assert not (tmp_path / "s" / "study.json").exists()
    video.unlink()
    with pytest.raises(MediaError, match="Alpha/person-0/0"):
        new_study([run], tmp_path / "t", NewStudy(plan=SMALL))


def test_invitations_are_one_a_sheet_and_only_their_digests_are_kept(tmp_path: Path, make_run: MadeRun) -> None:
    made = new_study([make_run(tmp_path / "run")], tmp_path / "study", NewStudy(plan=SMALL, invited=True))
    assert made.invitations is not None
    lines = made.invitations.read_text().splitlines()[1:]
    assert len(lines) == 4
    held = (tmp_path / "study" / "key.json").read_text() + (tmp_path / "study" / "study.json").read_text()
    assert not any(line.split("=")[1] in held for line in lines)
