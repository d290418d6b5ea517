"""Kinds of input: recognised by their first bytes, never by their name, and opened with the reader of that
kind alone.

Only the six kinds below are ever handed to a demuxer. A playlist or a text file that names other files or
addresses (which a general media library would follow) is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmbench.errors import MediaError
from mmbench.video.clip import Frame
from mmbench.video.complete import is_complete
from mmbench.video.limits import MediaLimits

KINDS = "mp4, mov, webm, mkv, avi, gif, animated webp, or a folder of frames"
CONVERT = "Write it again, or convert it: ffmpeg -i INPUT -c:v libx264 -crf 18 output.mp4."


@dataclass(frozen=True)
class Scan:
    """What can be known of a clip before its frames are decoded; `fps` is 0 where nothing says it."""

    n_frames: int
    width: int
    height: int
    fps: float
    times: tuple[float, ...] = ()
    is_folder: bool = False
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """One input. `frames` may be called again and starts from the beginning each time."""

    def scan(self) -> Scan:
        """Count and measure; decodes at most the first frame. Raises MediaError."""

    def frames(self) -> Iterator[Frame]:
        """Every frame in order, one at a time, read-only uint8 RGB. Raises MediaError."""


def open_source(path: Path, limits: MediaLimits) -> Source:
    """The reader for a file or folder. Raises MediaError when there is none."""
    if path.is_dir():
        from mmbench.video.folder import FrameFolder

        return FrameFolder(path, limits)
    if not path.is_file():
        what = "it is no regular file" if path.exists() else "there is no such file or folder"
        raise MediaError(f"{path}: {what}.", "Check the path in the manifest or on the command line.")
    with path.open("rb") as stream:
        head = stream.read(16)
    if not head:
        raise MediaError(f"{path}: the file is empty.", "Generate or download it again.")
    kind = recognise(head)
    if kind is None:
        raise MediaError(f"{path}: this is no video of a known kind.", f"Give {KINDS}. {CONVERT}")
    if not is_complete(path, kind):
        raise MediaError(f"{path}: the file is cut short.", "Generate or download it again.")
    if kind == "webp":
        from mmbench.video.webp import AnimatedWebp

        return AnimatedWebp(path, limits)
    from mmbench.video.container import Container

    return Container(path, kind, limits)


def recognise(head: bytes) -> str | None:
    """The kind of a file from its first 16 bytes, as the name of a demuxer, or None."""
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WEBP": "webp"}.get(head[8:12])
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "mov"
    return None
