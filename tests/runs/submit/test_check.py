"""What holds, holds; whatever is changed in a submission is found, and said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.config import BoardSettings
from mmbench.files import sha256_file
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.submit.check import check
from mmbench.runs.submit.pack import pack
from mmbench.video.write import write_video
from tests.runs.submit.board import Made, items_of, lines_of, rewrite

Lines = list[dict[str, Any]]


@pytest.fixture
def sent(made: Made, tmp_path: Path) -> Path:
    return made.pack(tmp_path / "someone")


def test_an_honest_one_holds(made: Made, sent: Path) -> None:
    found = check(sent, made.rules)
    assert found.faults == ()
    assert len(found.rows) == len(made.items)
    assert {row.model for row in found.sets} == {"ours", "theirs"}
    for row in found.rows:  # pictures are those of the test set here, not of the sender
        (person,) = (one for one in made.testset.identities if one.id == row.item.identity)
        assert row.item.references == person.references


def test_one_of_two_models_holds_alone(made: Made, tmp_path: Path) -> None:
    assert check(made.pack(tmp_path / "alone", ["theirs"]), made.rules).faults == ()


def _value(lines: Lines) -> None:
    lines[0]["scores"][0]["value"] = 7.5


def _other_prompt(lines: Lines) -> None:
    lines[0]["item"]["prompt"] = "a face, close, well lit"


def _other_person(lines: Lines) -> None:
    lines[0]["item"]["identity"] = "somebody"


def _swapped_people(lines: Lines) -> None:
    lines[0]["item"]["identity"], lines[2]["item"]["identity"] = "woman-05", "man-01"


def _other_rate(lines: Lines) -> None:
    lines[0]["item"]["fps"] = 16.0


def _other_inputs(lines: Lines) -> None:
    lines[1]["scores"][0]["inputs"] = "0" * 24


def _other_video(lines: Lines) -> None:
    for score in lines[0]["scores"]:
        score["value"] = score["value"] and score["value"] / 2
    lines[0]["clip"]["sha256"] = "0" * 64


def _left_out(lines: Lines) -> None:
    del lines[1]


def _best_of_two(lines: Lines) -> None:
    lines.insert(0, {**lines[0], "item": {**lines[0]["item"], "id": "again", "seed": 1}})


def _twice(lines: Lines) -> None:
    lines.insert(0, lines[0])


def _number_twice(lines: Lines) -> None:
    lines[0]["scores"].append(lines[0]["scores"][0])


def _number_left_out(lines: Lines) -> None:
    lines[0]["scores"] = [one for one in lines[0]["scores"] if one["metric"] != "flow_acceleration"]


def _untrained(lines: Lines) -> None:
    lines[0]["scores"][0]["provenance"]["random_weights"] = True


def _broken(lines: Lines) -> None:
    lines[0]["scores"][0] |= {"status": "error", "value": None, "reason": "it fell over"}


def _set_of_others(lines: Lines) -> None:
    lines[-1]["scores"][0]["inputs"] = "1" * 24


def _no_set(lines: Lines) -> None:
    del lines[-1]


def _file_elsewhere(lines: Lines) -> None:
    lines[0]["item"]["video"] = "/etc/passwd"


def _file_above(lines: Lines) -> None:
    lines[0]["item"]["condition"] = "clips/../../secret.png"


def _file_remote(lines: Lines) -> None:
    lines[0]["item"]["video"] = "s3://bucket/clip.mp4"


def _name_of_control_characters(lines: Lines) -> None:
    for line in lines:
        owner = line["item"] if line["kind"] == "item" else line
        if owner["model"] == "ours":
            owner["model"] = "ou\u202ers"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_value, "no possible value"),
        (_other_prompt, "no prompt of the test set"),
        (_other_person, "no such person"),
        (_swapped_people, "no prompt of the test set"),
        (_other_rate, "made of something else|another rate"),
        (_other_inputs, "made of something else"),
        (_other_video, "another one than was measured|lacks|made of something else"),
        (_left_out, "lacks videos"),
        (_best_of_two, "2 videos of"),
        (_twice, "stands twice"),
        (_number_twice, "has one twice"),
        (_number_left_out, "lacks numbers"),
        (_untrained, "untrained network"),
        (_broken, "could not be measured"),
        (_set_of_others, "made of something else"),
        (_no_set, "lacks the numbers of its models' sets"),
        (_file_elsewhere, "a file that is none of the submission's"),
        (_file_above, "a file that is none of the submission's"),
        (_file_remote, "a file that is none of the submission's"),
        (_name_of_control_characters, "other models than its rows|not printable"),
    ],
)
def test_forged_rows_are_found(made: Made, sent: Path, change: Callable[[Lines], None], said: str) -> None:
    lines = lines_of(sent)
    change(lines)
    rewrite(sent, lines)
    found = check(sent, made.rules)
    assert not found.sound
    assert _matches(said, found.faults), found.faults


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "{}",
        '{"schema": 1, "kind": "item"}',
        '{"schema": 2, "kind": "item", "item": {"id": 1}}',
        '{"schema": 2, "kind": "set", "model": ["x"], "n": 1, "scores": []}',
        '{"schema": 2, "kind": "set", "model": "x", "n": NaN, "scores": []}',
        '{"schema": 2, "kind": "set", "model": "x", "n": 1, "scores": [{"metric": "x", "status": "ok", "value": 1e999}'
        "]}",
        '{"a":' * 5000 + "1" + "}" * 5000,
        "\x00",
    ],
)
def test_lines_that_are_no_rows(made: Made, sent: Path, line: str) -> None:
    rewrite(sent, [*lines_of(sent), line])
    found = check(sent, made.rules)
    assert not found.sound
    assert found.card is None
    assert "rows.jsonl: line" in found.faults[0]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"name": "somebody-else"}, "its folder"),
        ({"name": "../up"}, "name"),
        ({"testset_sha256": "0" * 64}, "test set"),
        ({"models": ["ours"]}, "other models than its rows"),
        ({"link": "javascript:alert(1)"}, "link"),
        ({"about": "x" * 600}, "about"),
        ({"about": "a\nb"}, "printed"),
        ({"version": 2}, "version"),
        ({"more": 1}, "more"),
        ({"files": {}}, "other files"),
        ({"files": {"../rows.jsonl": {"sha256": "0" * 64, "bytes": 1}}}, "other files"),
    ],
)
def test_forged_cards_are_found(made: Made, sent: Path, card: dict[str, Any], said: str) -> None:
    rewrite(sent, **card)
    found = check(sent, made.rules)
    assert not found.sound
    assert _matches(said, found.faults), found.faults


@pytest.mark.parametrize("name", ["rows.jsonl", "submission.json", "clips"])
def test_what_is_gone_is_missed(made: Made, sent: Path, name: str) -> None:
    path = sent / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not check(sent, made.rules).sound


def test_links_and_foreign_files(made: Made, sent: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (sent / "clips" / "99999.mp4").symlink_to(tmp_path / "secret")
    assert "no plain file" in check(sent, made.rules).faults[0]
    (sent / "clips" / "99999.mp4").unlink()
    (sent / "clips" / ".hidden").write_text("", encoding="utf-8")
    assert "no plain file" in check(sent, made.rules).faults[0]
    (sent / "clips" / ".hidden").unlink()
    assert check(sent, made.rules).sound


def test_any_changed_byte_of_a_clip_is_found(made: Made, sent: Path) -> None:
    rng = np.random.default_rng(3)
    clips = sorted((sent / "clips").glob("*.mp4"))
    for _ in range(10):
        path = clips[rng.integers(len(clips))]
        kept = path.read_bytes()
        at = int(rng.integers(len(kept)))
        path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
        assert not check(sent, made.rules).sound  # another one than the card says
        rewrite(sent)
        assert _matches("another one than was", check(sent, made.rules).faults)  # than the rows say
        path.write_bytes(kept)
        rewrite(sent)
    assert check(sent, made.rules).sound


def test_clips_that_the_sender_chose(made: Made, sent: Path) -> None:
    """Another clip of the run in a chosen one's place is missed: which ones come follows from all of them."""
    lines = lines_of(sent)
    here = {path.name for path in (sent / "clips").glob("*.mp4")}
    other = next(line["item"]["video"] for line in lines if line.get("item", {}).get("video", "/")[6:] not in here)
    gone = sorted(here)[0]
    (sent / "clips" / gone).rename(sent / other)
    rewrite(sent)
    assert _matches("the board asks for 2 of its videos", check(sent, made.rules).faults)


@pytest.mark.parametrize(
    "other",
    [
        {"fm_version": 1},
        {"face": {"frames": "sampled"}},
        {"flow": {"backend": "dis", "mode": "early"}},
        {"precision": "bf16"},
        {"success": {"face_rate_min": 0.1}},
    ],
)
def test_other_settings_are_refused(made: Made, sent: Path, other: dict[str, Any]) -> None:
    rules = BoardSettings.filled(
        **{**made.rules.model_dump(), "evaluate": {**made.rules.evaluate.model_dump(), **other}}
    )
    assert _matches("the board asks for", check(sent, rules).faults)


def test_the_machine_is_anybodys_but_the_one_that_measured(made: Made, sent: Path) -> None:
    """No board asks for a device; numbers of networks that know theirs are held against the one that is named."""
    said = json.loads((sent / "submission.json").read_text(encoding="utf-8"))["settings"]
    rewrite(sent, settings={**said, "device": "cuda:3"})
    found = check(sent, made.rules)
    assert not _matches("the board asks for", found.faults)
    assert _matches("fm_ref is made of something else", found.faults)
    assert not _matches("motion_smoothness is made of", found.faults)  # by OpenCV's flow, on any machine's processor
    flow = {**made.rules.evaluate.model_dump(), "metrics": ("dynamic_degree",)}
    assert check(sent, BoardSettings.filled(**{**made.rules.model_dump(), "evaluate": flow})).sound


def test_columns_that_nobody_asked_for_are_left_out(made: Made, sent: Path) -> None:
    rules = BoardSettings.filled(
        **{**made.rules.model_dump(), "evaluate": {**made.rules.evaluate.model_dump(), "metrics": ("dynamic_degree",)}}
    )
    found = check(sent, rules)
    assert found.sound
    assert {score.metric for row in found.rows for score in row.scores} == {"dynamic_degree", "motion_strength"}
    more = BoardSettings.filled(
        **{
            **made.rules.model_dump(),
            "evaluate": {**made.rules.evaluate.model_dump(), "metrics": (*made.rules.evaluate.metrics, "fm_inter")},
        }
    )
    assert _matches("lacks numbers", check(sent, more).faults)


def test_other_pictures_than_the_test_sets(made: Made, tmp_path: Path) -> None:
    """A run with pictures of somebody's own, under the test set's names: no number of people is what it seems."""
    own = [replace(item, references=item.references[:1], shown=item.references[:1]) for item in made.items]
    run = evaluate(own, tmp_path / "run", made.rules.evaluate).run
    pack(run, tmp_path / "sent", made.rules.testset, clips=2)
    faults = check(tmp_path / "sent", made.rules).faults
    assert _matches("fm_ref is made of something else", faults)
    assert not _matches("motion_smoothness is made of", faults)  # which knows no pictures


def test_an_unusable_video_is_a_row(made: Made, tmp_path: Path) -> None:
    items = items_of(made.testset, tmp_path / "videos", ("broken",), seed=5)
    items[0].video.write_bytes(b"no video")
    run = evaluate(items, tmp_path / "run", made.rules.evaluate).run
    pack(run, tmp_path / "sent", made.rules.testset, clips=4)
    found = check(tmp_path / "sent", made.rules)
    assert found.faults == ()
    assert found.notes[0] == "1 of its videos could not be measured"
    assert str(tmp_path) not in (tmp_path / "sent" / "rows.jsonl").read_text(encoding="utf-8")


def test_a_folder_of_frames(made: Made, tmp_path: Path) -> None:
    items = items_of(made.testset, tmp_path / "videos", ("frames",), seed=6)
    rng = np.random.default_rng(0)
    folders = []
    for item in items:
        folder = item.video.with_suffix("")
        folder.mkdir()
        from PIL import Image

        for k in range(3):
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / f"{k:03d}.png")
        folders.append(replace(item, video=folder, fps=8.0))
    run = evaluate(folders, tmp_path / "run", made.rules.evaluate).run
    pack(run, tmp_path / "sent", made.rules.testset, clips=2)
    assert check(tmp_path / "sent", made.rules).faults == ()


def test_the_digest_of_a_video_is_of_its_bytes(made: Made, sent: Path) -> None:
    for line in lines_of(sent):
        if line["kind"] == "item" and (path := sent / line["item"]["video"]).exists():
            assert line["clip"]["sha256"] == sha256_file(path)
    write_video(path, np.zeros((4, 64, 64, 3), dtype=np.uint8), 8.0)
    rewrite(sent)
    assert not check(sent, made.rules).sound


def _matches(said: str, faults: tuple[str, ...]) -> bool:
    import re

    return any(re.search(said, fault) for fault in faults)
