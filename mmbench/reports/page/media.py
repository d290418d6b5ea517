"""Clips and pictures of a page: put beside it under safe names, so that the folder can be moved or zipped."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmbench.errors import MediaError
from mmbench.files import whole

FOLDER = "media"
VIDEOS = frozenset({".mp4", ".m4v", ".webm", ".mov"})
CONVERTED = frozenset({".avi", ".mkv"})
PICTURES = frozenset({".gif", ".webp", ".png", ".jpg", ".jpeg", ".avif", ".bmp"})

Kind = Literal["video", "image", "none"]


@dataclass(frozen=True)
class Media:
    """Something to show: `src` is relative to the page. "none" has a `note` that says why."""

    kind: Kind
    src: str = ""
    note: str = ""


class MediaShelf:
    """The media folder of one page. Files are hard-linked where the disk allows, else copied.

    `keep=False` places nothing: the page then says that it was made without clips.
    """

    def __init__(self, page: Path, keep: bool = True) -> None:
        self.folder = page / FOLDER
        self.keep = keep
        self._placed: dict[Path, Media] = {}
        self._names: set[str] = set()

    def place(self, path: Path, hint: str) -> Media:
        """Put `path` on the shelf once; `hint` becomes part of its name there."""
        source = path.absolute()
        if source not in self._placed:
            self._placed[source] = self._place(source, hint)
        return self._placed[source]

    def sweep(self) -> None:
        """Remove what an earlier page of this folder showed and this one does not."""
        if self.folder.is_dir():
            for file in self.folder.iterdir():
                if file.is_file() and file.name not in self._names:
                    file.unlink()

    def _place(self, source: Path, hint: str) -> Media:
        if not self.keep:
            return Media("none", note="this page was made without clips")
        suffix = source.suffix.lower()
        if source.is_dir() or (suffix in CONVERTED and source.is_file()):
            return self._convert(source, hint)
        if suffix not in VIDEOS | PICTURES:
            return Media("none", note=f"browsers cannot show {suffix or 'this file'}: {source.name}")
        if not source.is_file():
            return Media("none", note=f"the file is not there: {source.name}")
        name = self._free_name(hint, suffix)
        self._link(source, self.folder / name)
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
        what = "a folder of frames" if source.is_dir() else source.suffix.lower()
        return Media("video", f"{FOLDER}/{name}", f"converted from {what} for this page")

    def _free_name(self, hint: str, suffix: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", hint.lower()).strip("-")[:60] or "clip"
        name, number = f"{stem}{suffix}", 2
        while name in self._names:
            name, number = f"{stem}-{number}{suffix}", number + 1
        self._names.add(name)
        return name

    def _link(self, source: Path, target: Path) -> None:
        with whole(target) as part:
            try:
                part.hardlink_to(source.resolve())
            except OSError:  # another disk, or a file system without links
                shutil.copyfile(source, part)
