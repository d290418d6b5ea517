"""Clips and pictures of a page: copied beside it under safe names, so that the folder can be moved or zipped.

A page may be published, and its rows name files that strangers chose. So nothing is copied by its name alone: a file is
opened without following a link, and what lies on the shelf has been decoded as a clip or a picture.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from mmbench.errors import ManifestError, MediaError
from mmbench.files import is_file, settle_names, sha256, sha256_file, whole, write_text

FOLDER = "media"
VIDEOS = frozenset({".mp4", ".m4v", ".webm", ".mov"})
CONVERTED = frozenset({".avi", ".mkv", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp"})
PICTURES = frozenset({".gif", ".webp", ".png", ".jpg", ".jpeg", ".bmp"})

Kind = Literal["video", "image", "none"]


@dataclass(frozen=True)
class Media:
    """Something to show: `src` is relative to the page. "none" has a `note` that says why."""

    kind: Kind
    src: str = ""
    note: str = ""


class MediaShelf:
    """The media folder of one page.

    `made` is what an earlier page put there, by name with its sha256: only that is replaced or removed.
    `keep=False` places nothing: the page then says that it was made without clips.
    Raises ManifestError where the media folder is a link.
    """

    def __init__(self, page: Path, keep: bool = True, made: dict[str, str] | None = None) -> None:
        self.folder = page / FOLDER
        self.keep = keep
        self.placed: dict[str, str] = {}
        self._made = dict(made or {})
        self._media: dict[Path, Media] = {}
        self._names: set[str] = set()
        if self.folder.is_symlink():
            raise ManifestError(f"{self.folder}: it is a link, and a page's clips lie beside it.", "Remove the link.")

    def place(self, path: Path, hint: str, sha256: str = "") -> Media:
        """Put `path` on the shelf once; `hint` becomes part of its name there. `sha256` is that of a file which the run
        has decoded: bytes of that digest are not decoded again.
        """
        source = path.absolute()
        if source not in self._media:
            self._media[source] = self._place(source, hint, sha256)
        return self._media[source]

    def write(self, name: str, text: str) -> str:
        """Put a text of the page's own on the shelf, under `name` or one like it; its address for the page."""
        stem, _, suffix = name.rpartition(".")
        free = self._free_name(stem, f".{suffix}")
        write_text(self.folder / free, text)
        self.placed[free] = sha256(text.encode())
        return f"{FOLDER}/{free}"

    def sweep(self) -> None:
        """Remove what an earlier page of this folder showed and this one does not."""
        for name in set(self._made) - set(self.placed):
            (self.folder / name).unlink(missing_ok=True)
        if not self.folder.is_dir():
            return
        if any(self.folder.iterdir()):
            settle_names(self.folder)  # once for all of them: waiting for each took most of a large report's time
        else:
            self.folder.rmdir()

    def _place(self, source: Path, hint: str, sha256: str) -> Media:
        if not self.keep:
            return Media("none", note="this page was made without clips")
        suffix = source.suffix.lower()
        if source.is_symlink():
            return Media("none", note=f"a link, and a page shows only files themselves: {source.name}")
        if source.is_dir() or (suffix in CONVERTED and is_file(source)):
            return self._convert(source, hint)
        if suffix not in VIDEOS | PICTURES:
            return Media("none", note=f"browsers cannot show {suffix or 'this file'}: {source.name}")
        if not is_file(source):
            return Media("none", note=f"the file is not there: {source.name}")
        name = self._free_name(hint, suffix)
        try:
            self.placed[name] = self._copy(source, self.folder / name, sha256)
        except (MediaError, OSError) as cause:
            self._names.discard(name)
            return Media("none", note=f"cannot be shown: {cause.message if isinstance(cause, MediaError) else cause}")
        return Media("video" if suffix in VIDEOS else "image", f"{FOLDER}/{name}")

    def _convert(self, source: Path, hint: str) -> Media:
        """What browsers cannot play (avi, mkv, a folder of frames) becomes an mp4 of its own."""
        from mmbench.video.read import open_clip
        from mmbench.video.write import write_video

        name = self._free_name(hint, ".mp4")
        try:
            clip = open_clip(source)
            write_video(self.folder / name, clip.frames(), clip.info.fps)
        except MediaError as cause:
            self._names.discard(name)
            return Media("none", note=f"cannot be shown: {cause.message}")
        self.placed[name] = sha256_file(self.folder / name)
        what = "a folder of frames" if source.is_dir() else source.suffix.lower()
        return Media("video", f"{FOLDER}/{name}", f"converted from {what} for this page")

    def _free_name(self, hint: str, suffix: str) -> str:
        """A name that this page has not taken and that no file of somebody else has."""
        stem = re.sub(r"[^a-z0-9]+", "-", hint.lower()).strip("-")[:60] or "clip"
        name, number = f"{stem}{suffix}", 2
        while name in self._names or (name not in self._made and os.path.lexists(self.folder / name)):
            name, number = f"{stem}-{number}{suffix}", number + 1
        self._names.add(name)
        return name

    def _copy(self, source: Path, target: Path, known: str) -> str:
        """Copy by content; the sha256. What was decoded is the copy, so nothing can change in between.

        Raises MediaError where it is neither a clip nor a picture; OSError.
        """
        with whole(target, on_disk=False) as part:
            opened = os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(opened, "rb") as stream, part.open("wb") as copy:
                if not stat.S_ISREG(os.fstat(opened).st_mode):
                    raise MediaError(f"{source.name}: it is no file.", "Name a clip or a picture.")
                _fill(stream, copy)
            digest = sha256_file(part)
            if digest not in (known, self._made.get(target.name)):
                _decode(part, source)
        return digest


def _fill(source: BinaryIO, copy: BinaryIO) -> None:
    """Copy by the system, which shares the blocks where the disk can (a later change of either is its own), or else."""
    if not hasattr(os, "copy_file_range"):
        shutil.copyfileobj(source, copy, 1 << 20)
        return
    try:
        while os.copy_file_range(source.fileno(), copy.fileno(), 1 << 30):
            pass
    except OSError:  # between two disks, on some network folders
        source.seek(0)
        copy.seek(0)
        copy.truncate()
        shutil.copyfileobj(source, copy, 1 << 20)


def _decode(copy: Path, source: Path) -> None:
    """Raises MediaError naming `source` where the copy has no first frame."""
    from mmbench.video.image import FORMATS, open_image
    from mmbench.video.read import open_clip

    try:
        if source.suffix.lower() in PICTURES:
            with open_image(copy, formats=(*FORMATS, "GIF")) as image:
                image.load()
        else:
            next(iter(open_clip(copy).frames()))
    except MediaError as cause:
        raise MediaError(cause.message.replace(str(copy), source.name), cause.remedy) from cause
    except StopIteration as cause:
        raise MediaError(f"{source.name}: it has no frame.", "Write it again.") from cause
