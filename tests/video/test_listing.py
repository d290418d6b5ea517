"""What a folder holds is found once, links do not lead in circles, and what is passed over is named."""

from __future__ import annotations

import os
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.video.endings import VIDEO_ENDINGS
from mmbench.video.listing import find_clips, find_pictures, is_frame_folder, told


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x00")


def names(root: Path, paths) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def reasons(root: Path, listing) -> dict[str, str]:
    return {each.path.relative_to(root).as_posix(): each.reason for each in listing.told}


def test_frame_folders_with_stray_files_are_clips_and_the_strays_are_named(tmp_path):
    make(tmp_path, "anna_0.mp4", "anna_3.mpg", "anna_4.ts")
    for folder, stray in (("anna_1", "metadata.json"), ("anna_2", "Thumbs.db"), ("anna_5", "._1.png")):
        make(tmp_path, *(f"{folder}/{k}.png" for k in range(4)), f"{folder}/{stray}")
    found = find_clips(tmp_path)
    assert names(tmp_path, found.found) == ["anna_0.mp4", "anna_1", "anna_2", "anna_3.mpg", "anna_4.ts", "anna_5"]
    assert reasons(tmp_path, found) == {"anna_1/metadata.json": "no frame of its folder"}
    litter = {each.path.name for each in found.passed_over if each.litter}
    assert litter == {"Thumbs.db", "._1.png"}
    assert told([found]) == [f"{tmp_path / 'anna_1' / 'metadata.json'}: no frame of its folder"]


def test_a_few_pictures_among_other_files_are_no_clip(tmp_path):
    make(tmp_path, "logs/grid.png", "logs/log.txt", "logs/config.yaml", "one/a.png", "clip/a.mp4", "clip/first.png")
    found = find_clips(tmp_path)
    assert names(tmp_path, found.found) == ["clip/a.mp4", "one"]
    assert set(reasons(tmp_path, found)) == {"logs/grid.png", "logs/log.txt", "logs/config.yaml", "clip/first.png"}
    assert "picture beside clips" in reasons(tmp_path, found)["clip/first.png"]


def test_a_video_under_another_name_is_named(tmp_path, media):
    (tmp_path / "clip.dat").write_bytes(media["h264.mp4"].read_bytes())
    (tmp_path / "index.ts").write_text("export const a = 1;\n")
    found = find_clips(tmp_path)
    assert not found.found
    assert "video by its first bytes" in reasons(tmp_path, found)["clip.dat"]
    assert "no video by its name" in reasons(tmp_path, found)["index.ts"]


def test_links_are_not_followed_in_circles_and_a_file_is_one_clip(tmp_path):
    make(tmp_path, "outside/far.mp4", "v/anna.mp4", "v/deep/bea.mp4")
    root = tmp_path / "v"
    links = {
        "back": "..",
        "self": ".",
        "deep/up": "../..",
        "deep/again": "..",
        "aa_first.mp4": "deep/bea.mp4",
        "aa_folder": "deep",
        "far": "../outside",
        "far_again": "../outside",
        "broken.mp4": "nowhere.mp4",
        "broken": "nowhere",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.link(root / "anna.mp4", root / "zz_hard.mp4")
    found = find_clips(root)
    assert names(root, found.found) == ["anna.mp4", "broken.mp4", "deep/bea.mp4", "far/far.mp4"]
    said = reasons(root, found)
    assert set(said) == {*links, "zz_hard.mp4"} - {"far", "broken.mp4"}
    assert said["zz_hard.mp4"] == f"the same file as {root / 'anna.mp4'}"
    assert said["aa_folder"] == f"the same folder as {root / 'deep'}"
    assert said["broken"] == "a link that leads nowhere"
    assert all("folder it lies in" in said[name] for name in ("back", "self", "deep/up", "deep/again"))


def test_pictures_in_natural_order_without_companions_or_doubles(tmp_path):
    make(tmp_path, "1.jpg", "2.jpg", "10.jpg", "._1.jpg", ".DS_Store", "notes.txt", "inner/a.jpg")
    (tmp_path / "0_link.jpg").symlink_to("10.jpg")
    found = find_pictures(tmp_path)
    assert names(tmp_path, found.found) == ["1.jpg", "2.jpg", "10.jpg"]
    assert set(reasons(tmp_path, found)) == {"0_link.jpg", "inner", "notes.txt"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_special_files_are_no_pictures_and_are_not_opened(tmp_path):
    make(tmp_path, "frames/1.png", "frames/2.png")
    os.mkfifo(tmp_path / "frames" / "3.png")
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe")
    found = find_clips(tmp_path)
    assert names(tmp_path, found.found) == ["frames", "pipe.mp4"], "a row can say what is wrong with a video"
    assert reasons(tmp_path, found) == {"frames/3.png": "no frame of its folder", "pipe": "no regular file"}
    assert names(tmp_path, find_pictures(tmp_path / "frames").found) == ["frames/1.png", "frames/2.png"]


LEAF = st.sampled_from([*(f"x{ending}" for ending in VIDEO_ENDINGS), "1.png", "2.png", "a.txt", "Thumbs.db", "._x.mp4"])
PATH = st.lists(st.sampled_from(string.ascii_lowercase[:3]), max_size=3).map("/".join)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(PATH, LEAF), min_size=1, max_size=12), st.lists(st.tuples(PATH, PATH), max_size=4))
def test_every_entry_is_found_or_passed_over_exactly_once(files, links):
    with TemporaryDirectory() as place:
        root = Path(os.path.realpath(place))
        make(root, *(f"{folder}/{leaf}" if folder else leaf for folder, leaf in files))
        for number, (at, target) in enumerate(links):
            if (root / at).is_dir() and (root / target).is_dir():
                (root / at / f"link{number}").symlink_to(root / target)
        found = find_clips(root)
        told_of = [*found.found, *(each.path for each in found.passed_over)]
        assert len(told_of) == len(set(told_of))
        assert not any(path.is_symlink() for path in found.found), "all links lead to what is found under its own name"
        real = [Path(base) / name for base, _, inside in os.walk(root) for name in inside]
        frames = [path for path in found.found if path.is_dir()]
        for path in real:
            in_clip = path.parent in frames and path.suffix == ".png"
            in_litter = any(part.startswith(".") for part in path.relative_to(root).parts[:-1])
            assert (path in told_of) + in_clip + in_litter == 1, path
        assert all(is_frame_folder(path) for path in frames)
        assert found == find_clips(root)
