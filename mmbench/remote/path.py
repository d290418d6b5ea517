"""`RemotePath`: the path of a file elsewhere, which is fetched when something opens it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mmbench.remote.schemes import check_scheme, is_url

if TYPE_CHECKING:
    _Here = Path
else:
    _Here = type(Path())  # of this system: before Python 3.12 Path itself cannot be a base


class RemotePath(_Here):
    """A path that is written as its URL and opened as the local copy of what lies there.

    Whatever opens it (`open`, `stat`, a decoder that takes `os.fspath`) gets the file of `mmbench.remote.cache`,
    fetched if need be, and RemoteError where it cannot be had. It names one object, never a folder: `is_dir` is False.
    As in any path, empty and `.` parts of a key are lost.
    """

    __slots__ = ()

    def __str__(self) -> str:
        """The URL."""
        scheme, *parts = self.parts
        return f"{scheme}//{'/'.join(parts)}"

    def __fspath__(self) -> str:
        """The local copy, fetched now where it is not there. Raises RemoteError."""
        from mmbench.remote.cache import local_copy

        return os.fspath(local_copy(str(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.parts == other.parts

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str]]:
        return RemotePath, (str(self),)

    def joined(self, written: str) -> RemotePath:
        """What `written` names from here; `..` leads up, to the storage's root at most."""
        scheme, *parts = self.parts
        return RemotePath(f"{scheme}//{posixpath.normpath(posixpath.join('/', *parts, written)).lstrip('/')}")

    def as_posix(self) -> str:
        """The URL."""
        return str(self)

    def is_absolute(self) -> bool:
        """Always: no working directory changes what a URL means."""
        return True

    def absolute(self) -> RemotePath:
        """This path."""
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        """This path."""
        return self

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Never, and without a look."""
        return False

    def is_symlink(self) -> bool:
        """Never, and without a look."""
        return False


def path_of(value: str | PurePath) -> Path:
    """The path that a text, or a path made of one by pathlib, means: a RemotePath where it is a URL of a known kind."""
    if isinstance(value, RemotePath):
        return value
    if is_url(value):
        return RemotePath(str(value))
    return value if isinstance(value, Path) else Path(value)


def check_storages(paths: Iterable[Path]) -> None:
    """Raise MissingDependency where one of the paths lies in a storage that nothing here can read."""
    schemes = {path.parts[0]: path for path in paths if isinstance(path, RemotePath)}
    for path in schemes.values():
        check_scheme(str(path))
