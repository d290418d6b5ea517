"""One clip in any container, at any rate, turned and mirrored in any way: the frames and facts that a player shows."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.errors import MediaError
from mmbench.video.read import decode, open_clip, probe
from mmbench.video.write import write_video

SLOW = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ORIENTATIONS = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda p: np.rot90(p, 2),
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): np.rot90,
    (0, 1, 1, 0): lambda p: p.swapaxes(0, 1),
    (0, -1, -1, 0): lambda p: np.rot90(p, 2).swapaxes(0, 1),
}
"""(a, b, c, d) of the display matrix, x' = ax + cy and y' = bx + dy, and what it does to a picture."""


def with_matrix(path: Path, original: Path, abcd) -> Path:
    """The same mp4 with another matrix in its track header (ISO 14496-12, 8.3.2)."""
    data = bytearray(original.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(65536 * value) for value in abcd)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def timed(path: Path, frames, stamps, rate=100, codec="libx264", **context) -> Path:
    """Frames shown at `stamps`, in milliseconds."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options={"crf": "20"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for stamp, frame in zip(stamps, frames, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 1000)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def first(path: Path):
    return next(open_clip(path).frames())


def kinds(info) -> set[str]:
    return {warning.partition(":")[0] for warning in info.warnings}


@pytest.mark.parametrize("abcd", ORIENTATIONS)
def test_all_eight_orientations_are_shown_as_the_matrix_says(abcd, media, tmp_path):
    path = with_matrix(tmp_path / "turned.mp4", media["h264.mp4"], abcd)
    expected = ORIENTATIONS[abcd](first(media["h264.mp4"]))
    shown = first(path)
    assert np.array_equal(shown, expected)
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    assert not info.warnings


def test_a_scaled_matrix_is_an_orientation_and_a_slanted_one_is_told(media, tmp_path):
    upright = first(media["h264.mp4"])
    doubled = with_matrix(tmp_path / "doubled.mp4", media["h264.mp4"], (-2, 0, 0, 2))
    assert np.array_equal(first(doubled), upright[:, ::-1]) and not probe(doubled).warnings
    nothing = with_matrix(tmp_path / "nothing.mp4", media["h264.mp4"], (0, 0, 0, 0))
    assert np.array_equal(first(nothing), upright) and not probe(nothing).warnings
    slanted = with_matrix(tmp_path / "slanted.mp4", media["h264.mp4"], (0.94, 0.34, -0.34, 0.94))
    assert np.array_equal(first(slanted), upright) and kinds(probe(slanted)) == {"display_matrix"}


def test_one_late_frame_does_not_make_another_rate(frames, tmp_path):
    stamps = [125 * k - (120 if k == 12 else 0) for k in range(len(frames))]
    path = timed(tmp_path / "late.mp4", frames, stamps, rate=8)
    info = probe(path)
    assert info.fps == pytest.approx(8, abs=0.5)
    assert info.fps == pytest.approx(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS))
    assert "uneven_times" in kinds(info)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.gif", "a.mkv", "a.webm", "a.ts"])
def test_varying_delays_give_the_average_and_a_warning(name, frames, tmp_path):
    delays = [170, 80, 80, 90] * 12
    pictures = [frames[k % len(frames)] for k in range(48)]
    path = tmp_path / name
    if name.endswith("gif"):
        images = [Image.fromarray(picture) for picture in pictures]
        images[0].save(path, save_all=True, append_images=images[1:], duration=delays)
    else:
        codec = "libvpx" if name.endswith("webm") else "libx264"
        timed(path, pictures, np.cumsum([0, *delays[:-1]]).tolist(), codec=codec)
    info = probe(path)
    assert info.n_frames == 48
    # FFmpeg estimates a GIF's average from its first frames; an mp4's counts the last frame's own length.
    assert info.fps == pytest.approx(9.5, abs=0.6 if name == "a.gif" else 0.2)
    theirs = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    if theirs < 50:  # OpenCV believes a header or a guess that no frame bears out
        # each library brings an FFmpeg of its own, and versions guess a GIF's rate from other numbers of frames
        assert info.fps == pytest.approx(theirs, rel=0.06 if name == "a.gif" else 1e-6)
    assert "variable_rate" in kinds(info)


def test_even_clips_are_not_warned_about(media):
    for name in ("h264.mp4", "h264.mkv", "vp9.webm", "mpeg4.avi", "plain.gif", "moving.webp"):
        assert not probe(media[name]).warnings, name


def test_a_rate_that_is_not_the_files_is_told(media):
    assert kinds(probe(media["h264.mp4"], fps=8.0)) == {"rates_differ"}
    assert not kinds(probe(media["h264.mp4"], fps=16.3))
    assert not kinds(probe(media["folder"], fps=8.0))


def two_tracks(path: Path, frames, sizes, default=None) -> Path:
    """A clip with a track of each size; the frames of the second run backwards."""
    with av.open(str(path), "w") as output:
        streams = []
        for width, height in sizes:
            stream = output.add_stream("libx264", rate=8, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for number, stream in enumerate(streams):
            stream.disposition = 1 if number == default else 0
        for number, stream in enumerate(streams):
            for frame in frames[:: -1 if number else 1]:
                scaled = cv2.resize(frame, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(scaled, format="rgb24")))
            output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("sizes", "default", "shown"),
    [
        ([(96, 64), (48, 32)], None, 0),
        ([(48, 32), (96, 64)], None, 1),
        ([(96, 64), (48, 32)], 1, 1),
        ([(96, 64), (96, 64)], None, 0),
        ([(96, 64), (96, 64)], 1, 1),
    ],
)
def test_the_track_a_player_would_choose(sizes, default, shown, frames, tmp_path, collect):
    path = two_tracks(tmp_path / "two.mkv", frames, sizes, default)
    info = decode(path, [collect])
    assert (info.width, info.height) == sizes[shown]
    assert kinds(info) == {"tracks"}
    drawn = cv2.resize(frames[-1 if shown else 0], sizes[shown], interpolation=cv2.INTER_AREA)
    assert np.abs(collect.frames[0].astype(int) - drawn).mean() < 12
    assert info.n_frames == len(frames)


@pytest.mark.parametrize(("transfer", "told"), [(16, True), (18, True), (1, False), (6, False), (14, False)])
def test_high_dynamic_range_is_told(transfer, told, frames, tmp_path):
    path = timed(tmp_path / "clip.mp4", frames[:4], [0, 125, 250, 375], rate=8, color_trc=transfer)
    assert ("hdr" in kinds(probe(path))) == told


def test_see_through_parts_are_white_in_every_kind(tmp_path):
    picture = np.zeros((32, 48, 4), np.uint8)
    picture[:, :24] = (200, 30, 30, 255)
    images = [Image.fromarray(np.roll(picture, k, axis=1)) for k in range(4)]
    for name in ("a.gif", "a.webp"):
        images[0].save(
            tmp_path / name, save_all=True, append_images=images[1:], duration=120, disposal=2, lossless=True
        )
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, image in enumerate(images):
        image.save(folder / f"{k}.png")
    shown = {
        name: [frame.astype(int) for frame in open_clip(tmp_path / name).frames()]
        for name in ("a.gif", "a.webp", "frames")
    }
    for clip in shown.values():
        for ours, exact in zip(clip, shown["frames"], strict=True):
            assert np.abs(ours - exact).max() <= 8, "a GIF has a palette"
    assert shown["frames"][0][0, 40].tolist() == [255, 255, 255]


RATES = st.sampled_from([Fraction(8), Fraction(12), Fraction(24), Fraction(25), Fraction(30000, 1001)])


@SLOW
@given(
    rate=RATES,
    size=st.sampled_from([(64, 48), (48, 64), (50, 66)]),
    count=st.integers(5, 24),
    abcd=st.sampled_from(sorted(ORIENTATIONS)),
    seed=st.integers(0, 9),
)
def test_one_clip_in_every_container_gives_the_same_frames_and_facts(rate, size, count, abcd, seed):
    rng = np.random.default_rng(seed)
    soft = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (size[0] + 3 * count, size[1]))
    drawn = [np.ascontiguousarray(soft[:, 3 * k : 3 * k + size[0]]) for k in range(count)]
    with TemporaryDirectory() as place:
        root = Path(place)
        write_video(root / "plain.mp4", drawn, float(rate))
        plain = list(open_clip(root / "plain.mp4").frames())
        for name in ("a.mkv", "a.mov", "a.ts", "a.mp4"):
            remux(root / name, root / "plain.mp4")
            info = probe(root / name)
            assert (info.n_frames, info.width, info.height) == (count, *size), name
            assert info.fps == pytest.approx(float(rate), rel=0.01), name
            decoded = list(open_clip(root / name).frames())
            assert all(np.array_equal(a, b) for a, b in zip(decoded, plain, strict=True)), name
            if (theirs := cv2.VideoCapture(str(root / name)).get(cv2.CAP_PROP_FPS)) > 0:
                assert info.container_fps == pytest.approx(theirs), name
        turned = open_clip(with_matrix(root / "turned.mp4", root / "plain.mp4", abcd)).frames()
        assert all(np.array_equal(a, ORIENTATIONS[abcd](b)) for a, b in zip(turned, plain, strict=True))


def remux(path: Path, original: Path) -> None:
    """The same coded pictures in another container."""
    with av.open(str(original)) as source, av.open(str(path), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)


CUT = ["h264.mp4", "h264.mov", "h264.mkv", "vp9.webm", "mpeg4.avi", "plain.gif", "moving.webp"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(CUT), lost=st.one_of(st.integers(1, 40), st.integers(1, 20_000)))
def test_a_cut_file_is_whole_or_refused_by_name(name, lost, media, tmp_path):
    data = media[name].read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: max(0, len(data) - lost)])
    try:
        n_frames = decode(path, []).n_frames
    except MediaError as error:
        assert str(path) in error.message
    else:
        assert n_frames == 20


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_a_cut_stream_gives_no_damaged_frame(name, frames, tmp_path, collect):
    """Streams have no end mark: what is cut between two pictures is a shorter clip, else refused."""
    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream("mpeg2video" if name == "a.mpg" else "libx264", rate=25, options={"b": "2000000"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    whole = list(open_clip(tmp_path / name).frames())
    assert len(whole) == 20
    assert probe(tmp_path / name).fps == 25
    data = (tmp_path / name).read_bytes()
    cut = tmp_path / f"cut_{name}"
    refused = 0
    for step in (1, 188 if name == "a.ts" else 2048):
        for length in range(len(data) // 2 // step * step, len(data), max(step, len(data) // 12 // step * step)):
            cut.write_bytes(data[:length])
            try:
                info = decode(cut, [collect])
            except MediaError as error:
                assert str(cut) in error.message
                refused += 1
            else:
                assert info.n_frames <= 20
    assert refused > 5


def test_a_gif_is_whole_without_its_last_byte_and_refused_without_two(media, tmp_path):
    data = media["plain.gif"].read_bytes()
    path = tmp_path / "a.gif"
    for tail in (b"", b";", b"\x00\x00", b";more"):
        path.write_bytes(data[:-1] + tail)
        assert decode(path, []).n_frames == 20
    path.write_bytes(data[:-1] + b"!\xf9\x04\x00\x0c\x00\x00\x00")
    with pytest.raises(MediaError, match="cut short"):
        probe(path)
    path.write_bytes(data[:-2])
    with pytest.raises(MediaError, match="cut short"):
        probe(path)
