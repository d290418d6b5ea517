"""What a decoder reads is found alike wherever a folder is looked through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmbench.baselines.folder import Folder, read_video
from mmbench.runs.evaluate.items import find_videos, read_references
from mmbench.video.endings import PICTURE_ENDINGS, VIDEO_ENDINGS, is_picture, is_video
from mmbench.video.folder import frame_files
from mmbench.video.listing import is_clip, is_frame_folder
from mmbench.video.write import write_video


@pytest.mark.parametrize("ending", [*VIDEO_ENDINGS, ".MP4", ".WebP"])
def test_every_video_is_found_by_evaluation_and_by_a_folder_of_videos(tmp_path: Path, ending: str) -> None:
    video = tmp_path / f"a_man_waves{ending}"
    video.write_bytes(b"\x00")
    assert is_video(video)
    assert find_videos(tmp_path) == [video]
    assert Folder(tmp_path).listing() == {"a_man_waves": video}


@pytest.mark.parametrize("ending", [*PICTURE_ENDINGS, ".JPG"])
def test_every_picture_is_a_reference_and_a_frame(tmp_path: Path, ending: str) -> None:
    picture = tmp_path / f"anna{ending}"
    picture.write_bytes(b"x")
    assert is_picture(picture)
    assert read_references(tmp_path) == {"anna": (picture,)}
    assert frame_files(tmp_path) == [picture]


def test_a_folder_of_frames_is_a_clip_for_everybody(tmp_path: Path) -> None:
    frames = tmp_path / "a_man.waves"
    frames.mkdir()
    for k in range(3):
        (frames / f"{k}.ppm").write_bytes(b"P6 8 8 255\n" + bytes([k]) * 192)
    (frames / ".hidden.txt").touch()
    assert is_frame_folder(frames) and is_clip(frames)
    assert find_videos(tmp_path) == [frames]
    assert Folder(tmp_path).listing() == {"a_man.waves": frames}
    read, fps = read_video(frames)
    assert read.shape == (3, 8, 8, 3) and read.dtype == np.uint8 and fps == 8.0
    (frames / "notes.txt").touch()
    assert is_clip(frames)
    for name in ("a.txt", "b.txt"):
        (frames / name).touch()
    assert not is_clip(frames)


def test_hidden_files_and_folders_of_animations_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for name in (".a.mp4", "many/a.webp", "many/b.webp", "notes.txt"):
        (tmp_path / name).touch()
    assert find_videos(tmp_path) == [tmp_path / "many" / "a.webp", tmp_path / "many" / "b.webp"]
    assert not is_clip(tmp_path / ".a.mp4") and not is_clip(tmp_path / "many")


def test_a_folder_of_videos_reads_through_the_one_decoder(tmp_path: Path) -> None:
    frames = [np.full((16, 16, 3), 40 * k, np.uint8) for k in range(4)]
    write_video(tmp_path / "a.m4v", frames, 12.0)
    read, fps = read_video(tmp_path / "a.m4v")
    assert read.shape == (4, 16, 16, 3) and fps == 12.0
    assert np.abs(read.astype(int) - np.stack(frames).astype(int)).max() <= 4  # H.264 is lossy
