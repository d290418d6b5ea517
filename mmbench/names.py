"""Names of files and people: one name however a system writes it, one that can be printed, the file it means."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mmbench.remote.path import RemotePath, path_of
from mmbench.remote.schemes import is_url


def readable(name: str) -> str:
    r"""The name in composed Unicode (NFC), the same from every system; bytes that are no UTF-8 are written `\xe9`.

    >>> readable("cafe\u0301") == readable("caf\u00e9"), readable("caf\udce9")
    (True, 'caf\\xe9')
    """
    try:
        text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, which no file system gives but JSON can
        text = name.encode("utf-8", "backslashreplace").decode()
    return unicodedata.normalize("NFC", text)


JOINERS = "\u200c\u200d"
"""Invisible, and part of words in several scripts."""


def shown(text: str) -> str:
    r"""A text for a terminal: nothing in it moves the cursor or changes the colour; such characters become `\x1b`."""
    return "".join(
        character
        if character.isprintable() or character in JOINERS
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def key(name: str) -> str:
    """What two names share that a system without capitals, or with other accents, takes for one."""
    return unicodedata.normalize("NFC", readable(name).casefold())


def begins(name: str, start: str) -> bool:
    """Whether a name begins with another and ends there or goes on with a separator, in any script."""
    if not name.startswith(start):
        return False
    rest = name[len(start) : len(start) + 1]
    return not rest or not (rest.isalnum() or unicodedata.category(rest).startswith("M"))


def is_plain(name: str) -> bool:
    """Whether "a/b" stays inside a folder and is no process's own: nothing hidden, nothing that leads up."""
    parts = name.split("/")
    return all(part and not part.startswith(".") and "\\" not in part and "\0" not in part for part in parts)


class PathFinder:
    """Finds the files that a table names, whichever system wrote it; every folder is listed once."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find(self, written: str) -> Path:
        """The path as written, from `base`; where nothing lies there, the one file whose name is the same name.

        Accents may be composed or not, capitals may differ, backslashes may separate. Where no file fits, or several,
        it is the path as written. A URL is itself, and what a table of remote storage names lies beside it; neither is
        looked for.
        """
        if is_url(written):
            return path_of(written)
        if isinstance(self.base, RemotePath):
            return self.base.joined(written)
        direct = self.base / written
        if os.path.lexists(direct) or "\0" in written:
            return direct
        for text in dict.fromkeys((written, written.replace("\\", "/"))):
            if (found := self._walk(text)) is not None:
                return found
        return direct

    def lies(self, written: str) -> bool:
        """Whether something of this machine is called exactly as written, seen from `base`."""
        return "\0" not in written and not self.elsewhere(written) and os.path.lexists(self.base / written)

    def elsewhere(self, written: str) -> bool:
        """Whether the name leads to remote storage."""
        return is_url(written) or isinstance(self.base, RemotePath)

    def _walk(self, written: str) -> Path | None:
        here = self.base
        for part in PurePosixPath(written).parts:
            step = here / part
            if not os.path.lexists(step):
                fitting = self._names(here).get(key(part), [])
                if len(fitting) != 1:
                    return None
                step = here / fitting[0]
            here = step
        return here

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                for entry in folder.iterdir():
                    names.setdefault(key(entry.name), []).append(entry.name)
            except (OSError, ValueError):
                pass
            self._listed[folder] = names
        return self._listed[folder]


def few(names: Iterable[object], most: int = 5) -> str:
    """The first names of a list, and how many more there are: "a, b and 3 more"."""
    every = [readable(str(name)) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
