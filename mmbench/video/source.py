"""Kinds of input: known by their first bytes, never by their name, and opened with that kind's reader alone.

Only the eight kinds below are ever handed to a demuxer. A playlist or a text file that names other files or
addresses (which a general media library would follow) is refused here.
"""

from __future__ import annotations

from pathlib import Path

from mmbench.errors import MediaError
from mmbench.video.clip import CONVERT, Source
from mmbench.video.container.complete import is_complete
from mmbench.video.container.decoder import CPU
from mmbench.video.container.reader import Container
from mmbench.video.folder import FrameFolder
from mmbench.video.limits import MediaLimits
from mmbench.video.webp import AnimatedWebp

KINDS = "mp4, mov, webm, mkv, avi, mpeg, ts, gif, animated webp, or a folder of frames"
HEAD = 400
"""Bytes that `recognise` asks for: two packets of a transport stream."""


def open_source(path: Path, limits: MediaLimits, decode: str = CPU) -> Source:
    """The reader for a file or folder; `decode` is who decodes files ("cpu", "cuda", "cuda:1").

    Raises MediaError when there is none.
    """
    if path.is_dir():
        return FrameFolder(path, limits)
    limits.check_file(path)
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        raise MediaError(f"{path}: the file is empty.", "Generate or download it again.")
    kind = recognise(head)
    if kind is None:
        raise MediaError(f"{path}: this is no video of a known kind.", f"Give {KINDS}. {CONVERT}")
    if not is_complete(path, kind):
        raise MediaError(f"{path}: the file is cut short.", "Generate or download it again.")
    if kind == "webp":
        return AnimatedWebp(path, limits)
    return Container(path, kind, limits, decode)


def recognise(head: bytes) -> str | None:
    """The kind of a file from its first `HEAD` bytes, as the name of a demuxer, or None."""
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WEBP": "webp"}.get(head[8:12])
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "mov"
    if head[:4] == b"\x00\x00\x01\xba":
        return "mpeg"
    if any(head[at::length][:2] == b"GG" for at, length in ((0, 188), (4, 192))):
        return "mpegts"
    return None
