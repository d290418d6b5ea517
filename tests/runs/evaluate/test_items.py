"""Manifests and folders of anyone's videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.errors import ManifestError
from mmbench.runs.evaluate.items import read_folder, read_manifest


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def manifest(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_smallest_manifest(tmp_path: Path) -> None:
    text = "system,video,references\nmm,clips/a.gif,refs/p.png\nmm,b.mp4,refs/p.png;refs/q.png\n"
    items = read_manifest(manifest(tmp_path, text))
    assert [item.id for item in items] == ["mm/clips/a", "mm/b"]
    assert [item.identity for item in items] == ["p", "p+q"]
    assert items[1].references == (tmp_path / "refs/p.png", tmp_path / "refs/q.png")
    assert items[0].video == tmp_path / "clips/a.gif"


def test_full_manifest(tmp_path: Path) -> None:
    header = "id,model,identity,group,video,references,prompt,prompt_long,prompt_index,seed,fps,condition,note"
    text = f'{header}\nx,mm,anna,woman,v.mp4,r.png,"a woman, smiling",long,3,42,12.5,c.png,hello\n'
    (item,) = read_manifest(manifest(tmp_path, text))
    assert (item.id, item.group, item.prompt, item.prompt_index, item.seed) == ("x", "woman", "a woman, smiling", 3, 42)
    assert (item.fps, item.condition, item.extra) == (12.5, tmp_path / "c.png", {"note": "hello"})


def test_byte_order_mark_of_spreadsheets_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"\xef\xbb\xbfmodel,video,references\nmm,a.mp4,r.png\n")
    assert read_manifest(path)[0].model == "mm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,references\nmm,a.png\n", "video are missing"),
        ("video,references\na.mp4,r.png\n", "model are missing"),
        ("model,video,references\nmm,,r.png\n", "line 2: the cell 'video' is empty"),
        ("model,video,references,fps\nmm,a.mp4,r.png,fast\n", "fps is 'fast', not a number"),
        ("model,video,references\nmm,a.mp4,r.png\nmm,a.mp4,r.png\n", "stands more than once"),
    ],
)
def test_bad_manifests_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(manifest(tmp_path, text))


def test_folder_matched_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "refs/anna-b/1.png", "refs/anna-b/2.jpg", "v/anna_0.mp4", "v/anna-b_1.MP4")
    items = {item.video.name: item for item in read_folder(tmp_path / "v", tmp_path / "refs")}
    assert items["anna_0.mp4"].identity == "anna"
    assert items["anna-b_1.MP4"].identity == "anna-b"
    assert items["anna-b_1.MP4"].prompt_index == 1
    assert len(items["anna-b_1.MP4"].references) == 2
    assert {item.model for item in items.values()} == {"v"}


def test_folders_are_models_or_identities(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "refs/bob.png", "v/ours/anna/0.mp4", "v/theirs/anna/0.mp4", "v/bob/x.mp4")
    items = read_folder(tmp_path / "v", tmp_path / "refs", name="mine")
    assert [(i.model, i.identity) for i in items] == [("mine", "bob"), ("ours", "anna"), ("theirs", "anna")]
    assert len({i.id for i in items}) == 3


def test_one_reference_serves_every_video(tmp_path: Path) -> None:
    touch(tmp_path, "me.png", "v/whatever.webm", "v/frames/000.png", "v/frames/001.png")
    items = read_folder(tmp_path / "v", tmp_path / "me.png")
    assert {item.identity for item in items} == {"me"}
    assert {item.video.name for item in items} == {"whatever.webm", "frames"}


def test_a_folder_with_one_picture_does_not_stand_for_everybody(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4", "v/bob_0.mp4")
    with pytest.raises(ManifestError, match=r"fits bob_0\.mp4"):
        read_folder(tmp_path / "v", tmp_path / "refs")


def test_videos_that_differ_only_in_their_endings_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "me.png", "v/a.mp4", "v/a.webm")
    with pytest.raises(ManifestError, match=r"a\.mp4, a\.webm"):
        read_folder(tmp_path / "v", tmp_path / "me.png")


def test_a_video_instead_of_its_folder_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "me.png", "v/a.mp4")
    with pytest.raises(ManifestError, match="is a file"):
        read_folder(tmp_path / "v/a.mp4", tmp_path / "me.png")


def test_a_video_of_nobody_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "refs/bob.png", "v/carl_1.mp4", "v/annabel.mp4")
    with pytest.raises(ManifestError, match=r"annabel\.mp4, carl_1\.mp4"):
        read_folder(tmp_path / "v", tmp_path / "refs")


def test_prompts_by_video_or_by_identity(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "refs/bob.png", "v/anna_0.mp4", "v/anna_1.mp4", "v/bob_0.mp4")
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("video,identity,prompt_index,prompt\nanna_0,,,one\n,anna,1,two\n,bob,,three\n")
    items = {i.video.stem: i.prompt for i in read_folder(tmp_path / "v", tmp_path / "refs", prompts)}
    assert items == {"anna_0": "one", "anna_1": "two", "bob_0": "three"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("identity,prompt\nanne,one\n", "none of its 1 lines fits"),
        ("identity:prompt\nanna:one\n", "has the columns identity:prompt; it needs"),
        ("identity,prompt\n", "no line below its header"),
    ],
)
def test_prompts_that_serve_nobody_are_refused(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4")
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_folder(tmp_path / "v", tmp_path / "refs", prompts)


@pytest.mark.parametrize("case", ["no folder", "no video", "no reference"])
def test_nothing_there_is_named(tmp_path: Path, case: str) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "v").mkdir()
    touch(tmp_path, "r.png")
    folder = tmp_path / ("x" if case == "no folder" else "v")
    references = tmp_path / ("refs" if case == "no reference" else "r.png")
    with pytest.raises(ManifestError):
        read_folder(folder, references)
