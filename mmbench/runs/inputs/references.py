"""Reference pictures by identity, out of a picture, a folder of pictures or a folder of folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.files import sha256_file
from mmbench.names import begins, few, key, readable
from mmbench.runs.inputs.listing import passed_over
from mmbench.video.endings import PICTURE_ENDINGS, is_litter, is_picture
from mmbench.video.listing import PassedOver, find_pictures

_MOST_BYTES = 100_000_000
"""Files beyond this are told apart by their names alone."""


@dataclass(frozen=True)
class People:
    """Reference pictures of each identity, in order of names; `everybody` where one picture was given as such."""

    pictures: dict[str, tuple[Path, ...]]
    notes: tuple[str, ...] = ()
    everybody: bool = False

    def identity(self, parts: Sequence[str]) -> str | None:
        """Whom a clip shows, by the parts of its path below the folder; None where its name tells nobody.

        The nearest folder named like an identity counts, else the longest identity that the name begins with.
        Capitals and the forms of accents do not count where nothing fits exactly.
        """
        if self.everybody:
            return next(iter(self.pictures))
        for alike in (readable, key):
            known = {alike(name): name for name in self.pictures}
            for part in reversed(parts[:-1]):
                if alike(part) in known:
                    return known[alike(part)]
            fitting = [name for name in known if begins(alike(parts[-1]), name)]
            if fitting:
                return known[max(fitting, key=len)]
        return None


def read_people(path: Path) -> People:
    """Identities of a picture, of `<identity>.png` files, or of `<identity>/` folders of pictures.

    Raises ManifestError when there is no picture.
    """
    if path.is_file():
        return People({readable(path.stem): (path,)}, everybody=True)
    if not path.is_dir():
        raise ManifestError(f"{path}: no such file or folder.", "Give the reference image or a folder of them.")
    found: dict[str, list[Path]] = {}
    notes: list[str] = []
    other: list[PassedOver] = []
    for entry in sorted(path.iterdir()):
        if is_litter(entry):
            continue
        pictures = [entry] if is_picture(entry) and not entry.is_dir() else []
        if entry.is_dir():
            inside = find_pictures(entry)
            pictures = sorted(inside.found)
            other += inside.told
            if not pictures:
                other.append(PassedOver(entry, "it holds no picture"))
        elif not pictures:
            other.append(PassedOver(entry, "no picture by its name"))
        name = readable(entry.name if entry.is_dir() else entry.stem)
        if pictures and name in found:
            notes.append(f"{readable(entry.name)}: taken for further pictures of {name}")
        if pictures:
            found.setdefault(name, []).extend(pictures)
    if not found:
        raise ManifestError(f"{path}: holds no reference image.", f"Known: {', '.join(PICTURE_ENDINGS)}.")
    return People({name: tuple(found[name]) for name in found}, (*notes, *passed_over(path, other)))


def read_references(path: Path) -> dict[str, tuple[Path, ...]]:
    """Reference images by identity: a single image, `<identity>.png` files, or `<identity>/` folders of images."""
    return read_people(path).pictures


def identities_of(sets: Iterable[tuple[Path, ...]]) -> dict[tuple[Path, ...], str]:
    """A name for each set of references: the names of its pictures, with as many folders as tell two sets apart.

    Copies of the same pictures in several folders are one set: their bytes are compared where the names are alike.
    """
    every = list(dict.fromkeys(sets))
    first = _originals(every)
    names: dict[tuple[Path, ...], str] = {}
    taken: set[str] = set()
    left, folders = list(dict.fromkeys(first.values())), 0
    while left:
        named = _grouped(left, folders)
        whole = all(folders >= len(path.parts) for pictures in left for path in pictures)
        left = []
        for name, alike in named.items():
            if whole or (len(alike) == 1 and name not in taken):
                names |= dict.fromkeys(alike, name)
                taken.add(name)
            else:
                left += alike
        folders += 1
    return {pictures: names[first[pictures]] for pictures in every}


def _grouped(sets: Iterable[tuple[Path, ...]], folders: int) -> dict[str, list[tuple[Path, ...]]]:
    """Sets of references by the names of their pictures, with so many folders."""
    named: dict[str, list[tuple[Path, ...]]] = {}
    for pictures in sets:
        named.setdefault("+".join(_tail(path, folders) for path in pictures), []).append(pictures)
    return named


def _originals(sets: Iterable[tuple[Path, ...]]) -> dict[tuple[Path, ...], tuple[Path, ...]]:
    """The first set of the same names and bytes, for each set; nothing is read where no other has its names."""
    first: dict[tuple[Path, ...], tuple[Path, ...]] = {}
    for alike in _grouped(sets, 0).values():
        known: dict[tuple[str, ...], tuple[Path, ...]] = {}
        for pictures in alike:
            content = tuple(map(_content, pictures)) if len(alike) > 1 else ()
            first[pictures] = known.setdefault(content, pictures)
    return first


def same_pictures(sets: Sequence[tuple[Path, ...]]) -> bool:
    """Whether sets of references are of the same files, or of files with the same bytes."""
    return len(set(sets)) == 1 or len({tuple(map(_content, pictures)) for pictures in sets}) == 1


def _content(path: Path) -> str:
    """What tells a picture from others: its bytes, or its path where it cannot be read."""
    try:
        facts = path.stat()
        return _digest(path, facts.st_size, facts.st_mtime_ns) if facts.st_size <= _MOST_BYTES else str(path)
    except (OSError, ValueError):
        return str(path)


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)


def unused(people: People, used: Iterable[str]) -> tuple[str, ...]:
    """A note on identities of whom there is no clip."""
    shown = set(used)
    idle = [name for name in people.pictures if name not in shown]
    return (f"no clip shows {few(idle)}",) if idle else ()


def _tail(path: Path, folders: int) -> str:
    parts = path.with_suffix("").parts
    return readable("/".join(parts[-1 - folders :]))
