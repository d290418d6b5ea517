from __future__ import annotations

import av
import numpy as np
import pytest

from mmbench.errors import MediaError
from mmbench.video.read import decode
from mmbench.video.write import write_video


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "MP4"])
def test_what_is_written_is_read_back(suffix, frames, tmp_path, collect):
    path = tmp_path / f"new/folder/clip.{suffix}"
    assert write_video(path, iter(frames), 30000 / 1001) == len(frames)
    info = decode(path, [collect])
    assert info.n_frames == len(frames)
    assert info.fps == pytest.approx(30000 / 1001, rel=1e-4)
    assert info.warnings == ()
    for frame, drawn in zip(collect.frames, frames, strict=True):
        assert np.abs(frame.astype(int) - drawn).mean() < 6


@pytest.mark.parametrize("size", [(64, 96), (60, 90), (50, 86), (49, 87)])
def test_equal_frames_give_equal_bytes(size, frames, tmp_path):
    # Sides that are no multiple of 16 once made the encoder read memory beside the picture.
    cut = [np.ascontiguousarray(frame[: size[0], : size[1]]) for frame in frames]
    files = [tmp_path / f"{turn}.mp4" for turn in range(6)]
    for file in files:
        write_video(file, cut, 8)
    assert len({file.read_bytes() for file in files}) == 1


def test_odd_sides_are_made_even_by_repeating_the_border(frames, tmp_path, collect):
    odd = [frame[:63, :95] for frame in frames]
    write_video(tmp_path / "odd.mp4", odd, 8)
    info = decode(tmp_path / "odd.mp4", [collect])
    assert (info.height, info.width) == (64, 96)
    assert np.abs(collect.frames[0][:63, :95].astype(int) - odd[0]).mean() < 6


def test_settings_in_the_file(frames, tmp_path):
    write_video(tmp_path / "a.mp4", frames, 8)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "a page must be able to start before the end is loaded"
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.name, context.color_range, context.colorspace) == (
            "yuv420p",
            "h264",
            1,
            6,
        )


def test_quality_setting_changes_the_size(frames, tmp_path):
    for crf in (10, 30):
        write_video(tmp_path / f"{crf}.mp4", frames, 8, crf=crf)
    assert (tmp_path / "10.mp4").stat().st_size > (tmp_path / "30.mp4").stat().st_size


def test_a_failure_leaves_nothing_and_an_old_file_alone(frames, tmp_path):
    target = tmp_path / "clip.mp4"
    write_video(target, frames, 8)
    before = target.read_bytes()

    def broken():
        yield from frames[:5]
        raise RuntimeError("generator died")

    with pytest.raises(RuntimeError, match="generator died"):
        write_video(target, broken(), 8)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_no_frames(tmp_path):
    with pytest.raises(MediaError, match="no frame"):
        write_video(tmp_path / "clip.mp4", [], 8)
    assert not list(tmp_path.iterdir())


def test_unknown_ending(frames, tmp_path):
    with pytest.raises(MediaError, match=r"\.xyz"):
        write_video(tmp_path / "clip.xyz", frames, 8)


@pytest.mark.parametrize("fps", [0, -3, float("nan")])
def test_impossible_rate(fps, frames, tmp_path):
    with pytest.raises(ValueError, match="fps"):
        write_video(tmp_path / "clip.mp4", frames, fps)


@pytest.mark.parametrize(
    "bad", [np.zeros((64, 90, 3), np.uint8), np.zeros((64, 96, 3), np.float32), np.zeros((64, 96), np.uint8)]
)
def test_a_frame_that_does_not_fit_names_got_and_expected(bad, frames, tmp_path):
    with pytest.raises(ValueError, match=r"frame 1: expected uint8 \(64, 96, 3\), got"):
        write_video(tmp_path / "clip.mp4", [frames[0], bad], 8)
