"""Clips without a trace of their model: decoded and written anew, all by one encoder, under names drawn by lot."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmbench.errors import MediaError, MMBenchError
from mmbench.files import whole
from mmbench.video.clip import Frame

QUALITY = 92
"""Of the JPEG pictures of people."""

LONGEST = 1024
"""Pixels of a picture's longer side."""


def blind_clip(video: Path, folder: Path, *, fps: float | None = None, sha256: str = "") -> str:
    """Write a clip's frames as an mp4 of a random name into `folder`; the name.

    Nothing but frames and rate is taken over: no tags, times, sound, or settings of the first encoder. `sha256` is that
    of the clip as it was measured, "" where nobody knows. Raises MediaError for what cannot be decoded or is another
    clip by now.
    """
    from mmbench.video.read import open_clip
    from mmbench.video.write import write_video

    clip = open_clip(video, fps)
    if sha256 and clip.info.sha256 != sha256:
        raise MediaError(f"{video}: another clip than the one that was measured.", "Run `mmbench evaluate` again.")
    name = f"{secrets.token_hex(16)}.mp4"
    write_video(folder / name, _even_sides(clip.frames()), clip.info.fps)
    _same_time(folder / name)
    return name


def blind_picture(picture: Path, folder: Path) -> str:
    """Write a picture's pixels as a JPEG of a random name into `folder`; the name. Raises MediaError."""
    from PIL import Image

    from mmbench.video.image import read_image

    image = Image.fromarray(read_image(picture))
    image.thumbnail((LONGEST, LONGEST))
    name = f"{secrets.token_hex(16)}.jpg"
    with whole(folder / name) as part:
        image.save(part, "JPEG", quality=QUALITY)
    _same_time(folder / name)
    return name


def blamed(what: str, cause: MMBenchError) -> MediaError:
    """The same fault, saying whose clip it was."""
    return MediaError(f"{what}: {cause.message}", cause.remedy)


def _even_sides(frames: Iterable[Frame]) -> Iterator[Frame]:
    """All frames; sides are cut to even numbers, since a repeated edge line would show which model has odd ones."""
    for frame in frames:
        height, width = frame.shape[:2]
        even = frame[: height - height % 2 or height, : width - width % 2 or width]
        yield even


def _same_time(path: Path) -> None:
    """Servers and archives tell when a file was written, which would give the order of models away."""
    os.utime(path, (0, 0))
