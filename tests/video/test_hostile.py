"""Damaged and hostile files: each gives one typed error or a clean decode; no crash, no hang, bounded
memory."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mmbench.errors import MediaError
from mmbench.video.read import decode, probe

MUTATIONS = 20
SINGLE_FILES = [
    "h264.mp4",
    "h264.mov",
    "h264.mkv",
    "vp8.webm",
    "vp9.webm",
    "mpeg4.avi",
    "mjpeg.avi",
    "plain.gif",
    "moving.webp",
]

# Runs in its own process, so that a crash, a hang or a memory bomb is seen from outside.
CHILD = r"""
import json, re, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from mmbench.errors import MediaError
from mmbench.video.cadence import CadencePass
from mmbench.video.read import decode
for path in sorted(Path(sys.argv[1]).iterdir()):
    row = {"name": path.name}
    try:
        row |= {"kind": "ok", "n_frames": decode(path, [CadencePass()]).n_frames}
    except MediaError as error:
        row |= {"kind": "MediaError", "message": error.message, "remedy": error.remedy}
    except BaseException as error:
        row |= {"kind": type(error).__name__, "message": str(error)}
    status = Path("/proc/self/status")  # ru_maxrss would start at the parent's peak
    peak = re.search(r"VmHWM:\s+(\d+)", status.read_text())[1] if status.exists() else 0
    row["peak"] = int(peak)
    print(json.dumps(row), flush=True)
"""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One random injury."""
    out = bytearray(data)
    at = rng.randrange(len(out))
    kind = rng.randrange(7)
    if kind == 0:
        return bytes(out[:at])
    if kind == 1:
        for _ in range(rng.choice([1, 4, 32, 256])):
            out[rng.randrange(len(out))] = rng.randrange(256)
    elif kind == 2:  # a length, a count or a size becomes enormous
        out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00"])
    elif kind == 3:
        del out[at : at + rng.randrange(1, 200)]
    elif kind == 4:
        out[at:at] = rng.randbytes(rng.randrange(1, 200))
    elif kind == 5:
        out[at : at + 512] = bytes(min(512, len(out) - at))
    else:  # the header, where every bit counts
        for _ in range(3):
            out[rng.randrange(min(200, len(out)))] ^= 1 << rng.randrange(8)
    return bytes(out)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims any size and holds nearly nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def specials(folder: Path, media: dict[str, Path], frames) -> None:
    """Files made to deceive, each for one weakness."""
    mp4 = media["h264.mp4"].read_bytes()
    files = {
        "empty.mp4": b"",
        "one_byte.mp4": b"\x00",
        "text.mp4": b"this is no video\n" * 50,
        "page.mp4": b"<!doctype html><title>404</title>",
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\nhttp://127.0.0.1:9/a.ts\n",
        "concat.mp4": b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        "picture.mp4": png_header(64, 64),
        "archive.mp4": b"PK\x03\x04" + bytes(100),
        "only_ftyp.mp4": struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom"),
        "random_behind_ftyp.mp4": struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
        + random.Random(1).randbytes(5000),
        "ebml_only.webm": b"\x1a\x45\xdf\xa3" + random.Random(2).randbytes(5000),
        "riff_only.avi": b"RIFF" + struct.pack("<I", 4) + b"AVI ",
        "riff_only.webp": b"RIFF" + struct.pack("<I", 4) + b"WEBP",
        "header_only.gif": b"GIF89a\x10\x00\x10\x00\x00\x00\x00;",
        "huge.gif": b"GIF89a\xff\xff\xff\xff" + media["plain.gif"].read_bytes()[10:],
        "huge.webp": huge_webp(media["moving.webp"].read_bytes()),
        "huge.mp4": huge_mp4(mp4),
        "no_index.mp4": mp4.replace(b"moov", b"junk"),
        "no_samples.mp4": mp4.replace(b"stsz", b"free"),
        "another_codec.mp4": mp4.replace(b"avc1", b"zzzz"),
        "sound_only.mp4": sound_only(folder.parent),
        "nested.mp4": struct.pack(">I4s", 8 * 4000, b"moov") + b"".join(
            struct.pack(">I4s", 8 * (4000 - depth), b"trak") for depth in range(1, 4000)
        ),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.mp4").symlink_to(folder / "nowhere.mp4")
    for name in ("folder_empty", "folder_bomb", "folder_damaged", "folder_mixed"):
        (folder / name).mkdir()
    (folder / "folder_empty" / "notes.txt").write_text("no picture")
    (folder / "folder_bomb" / "0.png").write_bytes(png_header(60_000, 60_000))
    (folder / "folder_damaged" / "0.png").write_bytes((media["folder"] / "frame_0.png").read_bytes()[:500])
    Image.fromarray(frames[0]).save(folder / "folder_mixed" / "0.png")
    Image.fromarray(frames[0][:32]).save(folder / "folder_mixed" / "1.png")


def huge_mp4(mp4: bytes) -> bytes:
    """The sample entry and the track header claim 60000 x 60000."""
    at = mp4.index(b"avc1", mp4.index(b"stsd")) + 4 + 24
    return mp4[:at] + struct.pack(">HH", 60_000, 60_000) + mp4[at + 4 :]


def huge_webp(webp: bytes) -> bytes:
    """The canvas claims 16777216 x 16777216."""
    at = webp.index(b"VP8X") + 12
    return webp[:at] + b"\xff" * 6 + webp[at + 6 :]


def sound_only(folder: Path) -> bytes:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def hostile(media, frames, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "files"
    folder.mkdir()
    rng = random.Random(20)
    for name in SINGLE_FILES:
        data = media[name].read_bytes()
        for number in range(MUTATIONS):
            (folder / f"{number:02d}_{name}").write_bytes(mutate(data, rng))
    specials(folder, media, frames)
    return folder


@pytest.fixture(scope="module")
def rows(hostile) -> dict[str, dict]:
    # The timeout is the bound on hanging; it takes seconds.
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(hostile)], capture_output=True, text=True, timeout=3600, check=False
    )
    assert done.returncode == 0, f"the reader died: {done.returncode}\n{done.stderr[-2000:]}"
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_there_are_two_hundred(hostile, rows):
    assert len(rows) == len(list(hostile.iterdir())) >= 200


def test_each_is_a_typed_error_or_a_decode(rows):
    assert {row["kind"] for row in rows.values()} == {"ok", "MediaError"}, [
        row for row in rows.values() if row["kind"] not in ("ok", "MediaError")
    ]
    assert Counter(row["kind"] for row in rows.values())["MediaError"] > 100


def test_each_error_names_file_and_remedy(rows):
    for row in rows.values():
        if row["kind"] == "MediaError":
            assert row["name"] in row["message"]
            assert len(row["message"]) > len(row["name"]) + 10
            assert row["remedy"]
        else:
            assert row["n_frames"] >= 1


def test_nothing_made_to_deceive_passes(hostile, rows):
    made = [path.name for path in hostile.iterdir() if not path.name[:2].isdigit()]
    assert len(made) > 20
    # The decoder reads the true size from the stream itself, so a lying mp4 header is harmless.
    assert [name for name in made if rows[name]["kind"] == "ok"] in ([], ["huge.mp4"])


def test_memory_is_bounded(rows):
    # 8K RGB is 113 MB; nothing here may come near two such frames above the reader's own few hundred MB.
    assert max(row["peak"] for row in rows.values()) < 600 * 1024


@pytest.mark.parametrize("name", ["missing.mp4", "missing/folder"])
def test_a_path_that_is_not_there(name, tmp_path):
    with pytest.raises(MediaError, match="there is no such file"):
        probe(tmp_path / name)


def test_a_special_file_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="no regular file"):
        probe(tmp_path / "pipe.mp4")


def test_names_that_look_like_addresses_or_options(media, tmp_path, collect):
    for name in ("http:evil.mp4", "-i.mp4", "a b;rm %03d ü.mp4", "concat:a|b.mp4"):
        path = tmp_path / name
        path.write_bytes(media["h264.mp4"].read_bytes())
        assert decode(path, [collect]).n_frames == 20


def test_every_cut_is_noticed(media, tmp_path):
    """A file that lacks its last bytes is refused, however few; decoders would pass over it in silence."""
    for name in SINGLE_FILES:
        data = media[name].read_bytes()
        for share in (0.25, 0.5, 0.9, 0.99):
            path = tmp_path / f"{share}_{name}"
            path.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(MediaError):
                probe(path)


def test_bytes_behind_the_end_do_no_harm(media, tmp_path):
    for name in ("h264.mp4", "h264.mov", "mpeg4.avi", "vp9.webm"):
        path = tmp_path / name
        path.write_bytes(media[name].read_bytes() + b"\x00" * 64)
        assert probe(path).n_frames == 20
    (tmp_path / "noise.mp4").write_bytes(media["h264.mp4"].read_bytes() + b"\x7f\xff\x01\x02--\x00\x00" * 9)
    assert probe(tmp_path / "noise.mp4").n_frames == 20


def test_a_change_of_size_within_a_clip_is_refused(frames, tmp_path):
    from PIL import Image

    folder = tmp_path / "clip"
    folder.mkdir()
    Image.fromarray(frames[0]).save(folder / "0.png")
    Image.fromarray(frames[0][:-2]).save(folder / "1.png")
    with pytest.raises(MediaError, match=r"1\.png.*differs"):
        decode(folder, [])
