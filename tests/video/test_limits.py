"""What a clip may cost is bounded, whole: each attack is refused by name, in little memory and time."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.config import EvaluateSettings, LimitSettings
from mmbench.errors import MediaError
from mmbench.flow.flow_pass import FlowPass
from mmbench.flow.make import make_flow
from mmbench.video.clip import ClipInfo
from mmbench.video.image import read_image
from mmbench.video.limits import MediaLimits
from mmbench.video.read import content_digest, decode, open_clip, probe

# Reads every file by its own in a process of 2 GiB: whatever allocates more fails there, and nothing else does.
CHILD = r"""
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from mmbench.errors import MediaError
from mmbench.video.read import content_digest, decode
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode(path, [])
        said = ""
    except MediaError as error:
        said = error.message
    try:
        content_digest(path)
    except MediaError:
        pass
    print(json.dumps([path.name, said]), flush=True)
"""


def gif(width: int, height: int, count: int) -> bytes:
    """A canvas of any size and frames of one pixel each."""
    frame = b"!\xf9\x04\x00\x0c\x00\x00\x00" + b"," + bytes(4) + b"\x01\x00\x01\x00\x00" + b"\x02\x02\x44\x01\x00"
    return (
        b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00" + bytes(3) + b"\xff" * 3 + frame * count + b";"
    )


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), name) + data


def replaced(mp4: bytes, name: bytes, change) -> bytes:
    """A file with its index behind the pictures and one box's content changed."""

    def walk(data: bytes) -> bytes:
        out, position = b"", 0
        while position + 8 <= len(data):
            length, kind = struct.unpack(">I4s", data[position : position + 8])
            inside = data[position + 8 : position + length]
            if kind == name:
                inside = change(inside)
            elif kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"):
                inside = walk(inside)
            out += box(kind, inside)
            position += length
        return out

    return walk(mp4)


def many_scans(path: Path, count: int) -> Path:
    """A progressive picture whose last scan is repeated."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path, "JPEG", progressive=True)
    data = path.read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + last * count + data[-2:])
    return path


@pytest.fixture(scope="module")
def attacks(media, frames, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("attacks") / "files"
    folder.mkdir()
    mp4 = media["h264.mp4"].read_bytes()
    fragment = box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", box(b"tfhd", bytes(4), struct.pack(">I", 1)),
                   box(b"trun", bytes(4), struct.pack(">I", 100_000_000))))  # fmt: skip
    files = {
        "canvas.gif": gif(8000, 4000, 3),
        "pixels.gif": gif(4000, 2300, 700),
        "unfolds.gif": gif(3000, 3000, 40),
        "frames.gif": gif(16, 16, 31_000),
        "samples.mp4": replaced(mp4, b"stsz", lambda old: bytes(4) + struct.pack(">II", 1, 200_000_000)),
        "edits.mp4": replaced(
            mp4, b"elst", lambda old: struct.pack(">II", 0, 60_000) + struct.pack(">IIi", 1000, 0, 65536) * 60_000
        ),
        "fragments.mp4": mp4 + fragment,
        "packed.mp4": replaced(mp4, b"udta", lambda old: old).replace(b"udta", b"cmov"),
        "boxes.mp4": mp4 + box(b"moov", box(b"free") * 250_000),
        "index.avi": struct.pack("<4sI4s4sI", b"RIFF", 20_000_012, b"AVI ", b"idx1", 20_000_000) + bytes(20_000_000),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "device.mp4").symlink_to("/dev/zero")
    with (folder / "endless.mp4").open("wb") as sparse:
        sparse.write(mp4)
        sparse.truncate(1 << 42)
    for name in ("scans", "odd"):
        (folder / name).mkdir()
    many_scans(folder / "scans" / "0.jpg", 400)
    Image.fromarray(frames[0]).save(folder / "odd" / "0.png")
    os.mkfifo(folder / "odd" / "1.png")
    return folder


SAID = {
    "canvas.gif": "max_frame_pixels",
    "pixels.gif": "max_clip_pixels",
    "unfolds.gif": "max_pixels_per_byte",
    "frames.gif": "max_frames",
    "samples.mp4": "its index lists 200000000 samples",
    "edits.mp4": "its index lists",
    "fragments.mp4": "its index lists",
    "packed.mp4": "packed",
    "boxes.mp4": "longer or deeper",
    "index.avi": "its index lists",
    "pipe.mp4": "no regular file",
    "device.mp4": "no regular file",
    "endless.mp4": "max_bytes",
    "scans": "max_scans",
    "odd": "",
}


def test_each_attack_is_refused_by_name_in_two_gibibytes(attacks):
    # The timeout is the bound on hanging; it takes seconds.
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(attacks)], capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stderr
    said = dict(json.loads(line) for line in done.stdout.splitlines())
    assert set(said) == set(SAID)
    for name, expected in SAID.items():
        assert expected in said[name] and bool(expected) == bool(said[name]), (name, said[name])
        assert not said[name] or str(attacks / name) in said[name]


def test_limits_are_settings_with_one_set_of_defaults():
    assert LimitSettings().model_dump() == asdict(MediaLimits())
    assert EvaluateSettings().limits == LimitSettings()


@pytest.mark.parametrize(
    ("limit", "value", "kind"),
    [
        ("max_bytes", 2000, "h264.mp4"),
        ("max_frame_pixels", 6000, "h264.mp4"),
        ("max_frame_pixels", 6000, "plain.gif"),
        ("max_frame_pixels", 6000, "moving.webp"),
        ("max_frame_pixels", 6000, "folder"),
        ("max_pixels", 6000, "folder"),
        ("max_frames", 19, "h264.mkv"),
        ("max_frames", 19, "folder"),
        ("max_frames", 19, "moving.webp"),
        ("max_clip_pixels", 20 * 96 * 64 - 1, "vp9.webm"),
        ("max_clip_pixels", 20 * 96 * 64 - 1, "folder"),
    ],
)
def test_each_limit_names_itself_and_the_file(limit, value, kind, media):
    with pytest.raises(MediaError) as refused:
        probe(media[kind], limits=MediaLimits(**{limit: value}))
    assert str(media[kind]) in refused.value.message
    assert limit in refused.value.message + refused.value.remedy or limit == "max_pixels"
    decode(media[kind], [], limits=MediaLimits(**{limit: value + 10**9}))


@pytest.mark.parametrize("limit", ["seconds", "clip_seconds"])
def test_time_is_bounded_while_a_clip_is_decoded(limit, media):
    clip = open_clip(media["folder"])
    with pytest.raises(MediaError, match=rf"limits\.{limit}"):
        list(open_clip(media["folder"]).__class__(clip.info, clip.source, MediaLimits(**{limit: 1e-9})).frames())


def test_a_plain_progressive_picture_is_read_and_one_drawn_over_too_often_is_not(tmp_path):
    assert read_image(many_scans(tmp_path / "few.jpg", 5)).shape == (64, 64, 3)
    with pytest.raises(MediaError, match="max_scans"):
        read_image(many_scans(tmp_path / "many.jpg", 101))
    with pytest.raises(MediaError, match="max_scans"):
        read_image(tmp_path / "few.jpg", MediaLimits(max_scans=10))


def test_scans_are_counted_in_a_film_of_pictures_too(media):
    with pytest.raises(MediaError, match="max_scans"):
        probe(media["mjpeg.avi"], limits=MediaLimits(max_scans=0))


def test_long_sound_does_not_make_an_index_too_long(media, tmp_path):
    """Raw sound is kept in chunks: half an hour lists tens of millions of samples and is no attack."""
    mp4 = media["h264.mp4"].read_bytes()
    sound = box(b"trak", box(b"mdia", box(b"hdlr", bytes(8), b"soun", bytes(12)), box(b"minf", box(b"stbl",
        box(b"stts", bytes(4), struct.pack(">III", 1, 80_000_000, 1)),
        box(b"stsz", bytes(4), struct.pack(">II", 4, 80_000_000))))))  # fmt: skip
    from mmbench.video.container.index import listed_samples

    path = tmp_path / "a.mp4"
    path.write_bytes(mp4 + box(b"moov", sound))
    assert listed_samples(path, "mov") == 20
    path.write_bytes(mp4 + box(b"moov", sound.replace(b"soun", b"vide")))
    assert listed_samples(path, "mov") == 80_000_020


def test_a_digest_is_not_begun_of_what_never_ends(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero"), tmp_path / "absent.mp4"):
        with pytest.raises(MediaError):
            content_digest(path)


def test_a_network_that_takes_too_much_memory_is_not_run(media):
    flow = FlowPass(make_flow("dis"), "full", memory=1000)
    flow.start(ClipInfo(Path("a.mp4"), 3, 96, 64, 8.0, "manifest", 8.0, False, "a" * 64))
    for index in range(3):
        flow.feed(index, np.zeros((64, 96, 3), np.uint8))
    result = flow.finish()
    assert "limits.memory" in result.reason and "96x64" in result.reason and "limits.memory" in result.remedy
    assert not len(result.scores)
