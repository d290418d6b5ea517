"""Digests of a run's videos, made again only where a file is another one than before."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from mmbench.errors import ManifestError
from mmbench.files import read_json, write_json
from mmbench.runs.evaluate.clip import file_digest
from mmbench.runs.evaluate.index import RowIndex

FILE = ".digests.json"
SETTLED_SECONDS = 2.0
"""A file that was changed later than that before it was read may change again within one tick of its clock."""


class Digests:
    """sha256 of the videos of a run. What was read is kept beside the rows with size, times and inode of the file.

    A file of the same size, times of change (the one that users cannot set too) and inode is not read again. Folders of
    frames are read every time.
    """

    def __init__(self, run: Path, kept: RowIndex) -> None:
        self._path = run / FILE
        self._needless = not (kept.briefs or kept.clips or kept.errors)
        self._known: dict[str, list[int | str]] = {}
        self._changed = False
        with suppress(OSError, ManifestError):
            if not self._needless and isinstance(known := read_json(self._path), dict):
                self._known = known

    def of(self, video: Path) -> str:
        """sha256 of a video's bytes; "" where there is nothing to read, or where nothing was measured to look up."""
        if self._needless:
            return ""
        stamp = _stamp(video)
        before = self._known.get(str(video))
        if stamp and before and before[:-1] == stamp:
            return str(before[-1])
        digest = file_digest(video)
        settled = stamp and time.time() - max(stamp[1:3]) / 1e9 > SETTLED_SECONDS and stamp == _stamp(video)
        if digest and settled:
            self._known[str(video)] = [*stamp, digest]
            self._changed = True
        return digest

    def keep(self) -> None:
        """Write down what was read, for the next command; a folder that takes no more files is done without."""
        if self._changed:
            with suppress(OSError):
                write_json(self._path, self._known)


def _stamp(video: Path) -> list[int]:
    """Size, times of writing and of any change, inode; empty where it is no plain file."""
    try:
        found = video.stat()
    except (OSError, ValueError):
        return []
    if not S_ISREG(found.st_mode):
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
