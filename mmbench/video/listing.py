"""What a folder holds, in clips or in pictures, and what of it is passed over and why: one answer for everybody."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.video.endings import ANIMATED, is_litter, is_picture, is_video
from mmbench.video.folder import natural_key

SOURCE_CODE = (".ts", ".mts")
"""Endings that programs' sources have too: such a file is a video only if it begins as one."""


@dataclass(frozen=True)
class PassedOver:
    """Something in a folder that is not taken, and the reason as a phrase ("the same file as a.mp4").

    `litter`: a file that the system wrote by itself, of which nobody need be told.
    """

    path: Path
    reason: str
    litter: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Listing:
    """What was found, in order, and what was passed over."""

    found: tuple[Path, ...]
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def told(self) -> tuple[PassedOver, ...]:
        """What was passed over and is worth a word: all but litter."""
        return tuple(each for each in self.passed_over if not each.litter)


def find_clips(folder: Path) -> Listing:
    """Videos and folders of frames below `folder`, sorted by their paths.

    Links are followed, but not in circles, and one file or folder is taken once: under its own name where it has one
    here, not a link's. A broken link with a video's name is found, so that its row can say what is wrong.
    """
    walk = _Walk()
    walk.enter(folder, folder)
    while walk.links:
        links, walk.links = walk.links, []
        for link in sorted(links):
            walk.follow(link)
    return Listing(tuple(sorted(walk.found)), tuple(sorted(walk.passed_over, key=lambda each: each.path)))


def find_pictures(folder: Path) -> Listing:
    """Pictures directly in `folder`, in natural order of their names; one file is taken once."""
    walk = _Walk()
    entries = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    for entry in sorted(entries, key=os.path.islink):  # a file under its own name comes before links to it
        if is_litter(entry):
            walk.skip(entry, _litter(entry), litter=True)
        elif entry.is_dir():
            walk.skip(entry, "a folder inside")
        elif not is_picture(entry):
            walk.skip(entry, "no picture by its name")
        elif not entry.is_file():
            walk.skip(entry, "no regular file")
        else:
            walk.take(entry)
    order = {path: number for number, path in enumerate(entries)}
    return Listing(
        tuple(sorted(walk.found, key=order.__getitem__)),
        tuple(sorted(walk.passed_over, key=lambda each: order[each.path])),
    )


def is_clip(path: Path) -> bool:
    """Whether what lies in a folder is a clip: a file named like a video, or a folder of frames; no litter."""
    if is_litter(path):
        return False
    return is_frame_folder(path) if path.is_dir() else is_video(path) and not _is_source_code(path)


def is_frame_folder(folder: Path) -> bool:
    """Whether a folder's pictures are the frames of one clip.

    So it is where it holds pictures and nothing else; beside other files where it has two pictures or more and more
    pictures than others. With a video, an animated kind or a folder inside it is a folder of clips. Litter does not
    count.
    """
    entries = [entry for entry in folder.iterdir() if not is_litter(entry)]
    pictures = [entry for entry in entries if is_picture(entry) and entry.is_file()]
    if not pictures or any(entry.is_dir() or is_video(entry) for entry in entries):
        return False
    others = len(entries) - len(pictures)
    return not others or (len(pictures) >= 2 and len(pictures) > others)


@dataclass
class _Walk:
    """What is known so far; `seen` names the first path of every file and folder, by device and inode."""

    found: list[Path] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    seen: dict[tuple[int, int] | str, Path] = field(default_factory=dict)

    def skip(self, path: Path, reason: str, litter: bool = False) -> None:
        self.passed_over.append(PassedOver(path, reason, litter))

    def take(self, path: Path) -> None:
        """A file or folder of frames, if it was not taken under another name."""
        if (first := self._first(path)) is not None:
            self.skip(path, f"the same {'folder' if path.is_dir() else 'file'} as {first}")
        else:
            self.found.append(path)

    def enter(self, folder: Path, shown: Path) -> None:
        """Look through a folder, its links left for later."""
        if (first := self._first(folder)) is not None:
            self.skip(shown, f"the same folder as {first}")
            return
        try:
            entries = sorted(folder.iterdir())
        except OSError as cause:
            self.skip(shown, f"it cannot be looked into ({cause.strerror})")
            return
        for entry in entries:
            if is_litter(entry):
                self.skip(entry, _litter(entry), litter=True)
            elif entry.is_symlink():
                self.links.append(entry)
            else:
                self._sort(entry)

    def follow(self, link: Path) -> None:
        """Look at what a link leads to; never up to a folder in which it lies itself."""
        if link.is_dir():
            target, home = Path(os.path.realpath(link)), Path(os.path.realpath(link.parent))
            if home.is_relative_to(target):
                self.skip(link, "a link to a folder it lies in")
                return
        self._sort(link)

    def _sort(self, entry: Path) -> None:
        if entry.is_dir():
            if _readable(entry) and is_frame_folder(entry):
                self.take(entry)
                for inside in sorted(entry.iterdir()):
                    if not (is_picture(inside) and inside.is_file()) or is_litter(inside):
                        litter = is_litter(inside)
                        self.skip(inside, _litter(inside) if litter else "no frame of its folder", litter)
            else:
                self.enter(entry, entry)
        elif is_video(entry) and not _is_source_code(entry):
            self.take(entry) if entry.exists() else self.found.append(entry)
        else:
            self.skip(entry, _why_no_clip(entry))

    def _first(self, path: Path) -> Path | None:
        """The path under which the same file or folder was met before; None, and remembered, if it was not."""
        facts = path.stat()
        key = (facts.st_dev, facts.st_ino) if facts.st_ino else os.path.realpath(path)  # some systems number no files
        if key in self.seen:
            return self.seen[key]
        self.seen[key] = path
        return None


def _readable(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _is_source_code(path: Path) -> bool:
    """Whether a file with an ending of transport streams holds something else; an unreadable one is no source."""
    if path.suffix.lower() not in SOURCE_CODE or not path.is_file():
        return False
    from mmbench.video.source import HEAD, recognise

    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return False
    return bool(head) and recognise(head) is None and b"\x00" not in head


def _why_no_clip(entry: Path) -> str:
    if not entry.exists():
        return "a link that leads nowhere"
    if not entry.is_file():
        return "no regular file"
    if is_picture(entry) and entry.suffix.lower() not in ANIMATED:
        return "a picture beside clips or other files, and no frame of a folder"
    from mmbench.video.source import HEAD, recognise

    try:
        with entry.open("rb") as stream:
            kind = recognise(stream.read(HEAD))
    except OSError as cause:
        return f"it cannot be read ({cause.strerror})"
    if kind:
        return "a video by its first bytes, but not by its name: rename it, or name it in a manifest"
    return "no video by its name"


def _litter(entry: Path) -> str:
    return "a companion that macOS writes" if entry.name.startswith("._") else "hidden, or written by the system"


def told(listings: Iterable[Listing]) -> list[str]:
    """One line for everything that was passed over and is worth a word."""
    return [str(each) for listing in listings for each in listing.told]
