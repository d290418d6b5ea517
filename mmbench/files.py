"""How files are written whole, read, hashed and cached, which versions are installed, and how progress is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from mmbench.errors import ManifestError

NOT_INSTALLED = "not installed"
LARGEST = 4 * 2**30


class Progress(Protocol):
    """Called after every step of long work, and at its start.

    `done` of `total` (0 where it is not known) steps, clips or bytes; `what` names them, as in "clips".
    """

    def __call__(self, done: int, total: int, what: str, /) -> None: ...


def silent(done: int, total: int, what: str, /) -> None:
    """Progress that tells nobody."""


@contextmanager
def whole(path: Path, *, on_disk: bool = True) -> Iterator[Path]:
    """Give the name to write to; without an error that file is on the disk and in `path`'s place at the end, else gone.

    The name lies beside `path`, begins with a dot and has its ending. Parent folders are made. Whoever reads `path`
    sees what was there before or all that was written, after a loss of power too. `on_disk=False` does not wait for the
    disk, for many files that can be made again: a loss of power may then leave an empty one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}-{uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield part
        if on_disk:
            settle(part, path)
        else:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def beside(path: Path, word: str) -> Path:
    """The name beside `path` for what outlives a process or is shared under a lock: a download that goes on later."""
    return path.with_name(f"{path.name}.{word}")


def settle(part: Path, path: Path) -> None:
    """Put a finished file in `path`'s place, on the disk before its name is."""
    with part.open("r+b" if os.name == "nt" else "rb") as written:
        os.fsync(written.fileno())
    part.replace(path)
    settle_names(path.parent)


def settle_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    with suppress(OSError):  # systems that cannot open a folder keep its names by themselves
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def write_text(path: Path, text: str) -> None:
    r"""Write a UTF-8 text whole or not at all; line ends stay as they are in `text`.

    Of names that hold bytes of no UTF-8, such a byte becomes `\udce9`: a name never keeps a text from being written.
    """
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json(path: Path, document: object, *, sort_keys: bool = False) -> None:
    """Write a JSON document whole or not at all, indented by one, in UTF-8. Raises ValueError for NaN and infinity."""
    text = json.dumps(document, indent=1, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
    if not _encodable(text):  # names of files may hold bytes that are no UTF-8
        text = json.dumps(document, indent=1, sort_keys=sort_keys, allow_nan=False)
    write_text(path, text + "\n")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path, remedy: str = "Delete it and run the command again.") -> Any:
    """The document of a JSON file. Raises FileNotFoundError, or ManifestError where it is no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise ManifestError(f"{path}: damaged, it is no JSON: {cause}.", remedy) from cause


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_file(path: Path) -> bool:
    """Whether there is a file of this name; no where no system can have one: too long, or with a NUL in it."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class NamedByContent(type(Path())):  # type: ignore[misc]
    """A file that need not be here, called by the sha256 of its bytes: `<sha256>.png`."""


def content_of(path: Path) -> str:
    """As `sha256_file`; "" where there is no file that can be read: no such name, no permission, a folder, a pipe.

    And for one of more than 4 GiB, which no reader takes either.
    """
    if isinstance(path, NamedByContent):
        return str(path.stem)
    try:
        return sha256_file(path) if is_file(path) and path.stat().st_size <= LARGEST else ""
    except (OSError, ValueError):
        return ""


def sha256(data: bytes) -> str:
    """Hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def scratch(owner: object) -> Path:
    """A new temporary folder that goes when `owner` does, in the process that made it.

    Forked processes share the folder, and leave it alone when their copy of the owner goes.
    """
    import tempfile
    import weakref

    folder = Path(tempfile.mkdtemp(prefix="mmbench-"))
    weakref.finalize(owner, _remove, folder, os.getpid())
    return folder


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def cache_root() -> Path:
    """Where everything that can be made or fetched again is kept: `MMBENCH_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("MMBENCH_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("mmbench"))


def cache_folder(name: str, variable: str = "") -> Path:
    """Folder or file `name` of the cache, or what the environment variable `variable` says in its place."""
    if variable and (chosen := os.environ.get(variable)):
        return Path(chosen).expanduser()
    return cache_root() / name


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of mmbench and of distributions by name, "not installed" where one is not."""
    from mmbench.version import __version__

    return {"mmbench": __version__, **{name: installed_version(name) or NOT_INSTALLED for name in distributions}}
