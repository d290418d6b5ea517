"""The local cache of remote files: each version fetched once, whole or not at all, the longest unused removed first.

A file is kept by its URL and by what the storage says of its version (ETag, generation, time of change, size), so that
a changed object is another file here. Processes share the cache; one fetches, the others wait for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmbench.errors import ManifestError, RemoteError
from mmbench.files import LARGEST, cache_folder, read_json, sha256, whole, write_json
from mmbench.remote.storage import TOTAL_SECONDS, ObjectFacts, download, look

MOST_BYTES = 50 * 10**9
"""What the cache may hold where `MMBENCH_REMOTE_BYTES` does not say it."""
FRESH_SECONDS = 60.0
"""For so long a process takes a version for the newest, or an object for not there, without asking again."""
NAME, LOCK = 32, ".lock"
IN_USE_SECONDS = 900.0
"""What was asked for within that time is not removed, even if the cache is too large meanwhile."""


@dataclass(frozen=True)
class _Known:
    """What this process knows of a URL, until when (by the monotonic clock): its copy, or why there is none."""

    until: float
    copy: Path | None
    error: RemoteError | None = None


_known: dict[str, _Known] = {}
_lock = threading.Lock()


def local_copy(url: str) -> Path:
    """The file that holds what lies at `url` now, fetched where this version is not here yet.

    Raises RemoteError that says why it cannot be had; MissingDependency where no package reads this storage. With
    `MMBENCH_OFFLINE` nothing is asked of the storage, and the version fetched last is given.
    """
    known = _known.get(url)
    if known and known.until > time.monotonic():
        if known.error:
            raise RemoteError(known.error.message, known.error.remedy)
        if known.copy and known.copy.exists():
            return known.copy
    try:
        copy = _copy(url)
    except RemoteError as cause:
        _remember(url, _Known(time.monotonic() + FRESH_SECONDS, None, cause))
        raise
    _remember(url, _Known(time.monotonic() + FRESH_SECONDS, copy))
    return copy


def forget() -> None:
    """Ask the storages again about every URL: what lies there may have changed since this process looked last."""
    with _lock:
        _known.clear()


def most_bytes() -> int:
    """What the cache may hold. Raises ManifestError where `MMBENCH_REMOTE_BYTES` is no whole number above zero."""
    said = os.environ.get("MMBENCH_REMOTE_BYTES", "")
    if not said:
        return MOST_BYTES
    if not said.isascii() or not said.isdigit() or int(said) < 1:
        raise ManifestError(f"MMBENCH_REMOTE_BYTES is {said!r}, no number of bytes.", "Say it as 50000000000.")
    return int(said)


def _remember(url: str, known: _Known) -> None:
    with _lock:
        _known[url] = known


def _copy(url: str) -> Path:
    import filelock

    note = _folder() / f"{sha256(url.encode(errors='surrogatepass'))[:NAME]}.json"
    if os.environ.get("MMBENCH_OFFLINE", "") not in ("", "0") and not url.startswith("memory:"):
        return _last(url, note)
    facts = look(url)
    if facts.size > min(LARGEST, most_bytes()):
        raise RemoteError(
            f"{url}: {facts.size} bytes is more than the {min(LARGEST, most_bytes())} that one file may have.",
            "Cut it, or raise MMBENCH_REMOTE_BYTES where that is the lower bound (a file may have 4 GiB).",
        )
    copy = note.with_name(f"{note.stem}-{facts.version[:16]}{_ending(url)}")
    if not copy.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(note.with_suffix(LOCK), timeout=TOTAL_SECONDS):
                if not copy.exists():
                    _make_room(facts.size, note.stem)
                    _fetch(url, copy, facts)
        except filelock.Timeout as cause:
            raise RemoteError(f"{url}: another process fetches it and does not end.", "Run it again later.") from cause
    if note.exists():
        note.touch()  # when it was last asked for
    else:
        write_json(note, {"url": url, "file": copy.name})
    return copy


def _fetch(url: str, copy: Path, facts: ObjectFacts) -> None:
    with whole(copy) as part:
        download(url, part, facts)
        if look(url) != facts:
            raise RemoteError(f"{url}: it changed while it was fetched.", "Run the same command again.")
    write_json(copy.with_name(f"{copy.name[:NAME]}.json"), {"url": url, "file": copy.name})
    for old in copy.parent.glob(f"{copy.name[:NAME]}-*"):
        if old != copy:
            with suppress(OSError):  # Windows keeps a file that is being read
                old.unlink()


def _last(url: str, note: Path) -> Path:
    """The version that was fetched last."""
    with suppress(OSError, ManifestError, KeyError, TypeError):
        copy = note.with_name(Path(str(read_json(note)["file"])).name)
        if copy.is_file():
            note.touch()
            return copy
    raise RemoteError(f"{url}: is not in the cache, and MMBENCH_OFFLINE forbids to fetch it.", "Unset MMBENCH_OFFLINE.")


def _make_room(size: int, keep: str) -> None:
    """Remove what was not asked for longest until `size` bytes more fit, and what killed processes left half done."""
    now, files, asked = time.time(), defaultdict[str, list[tuple[Path, int]]](list), dict[str, float]()
    for file in _folder().iterdir():
        with suppress(OSError):  # another process removed it
            facts = file.stat()
            if file.name.startswith("."):
                if now - facts.st_mtime > TOTAL_SECONDS:
                    file.unlink()
            elif file.suffix != LOCK:
                files[file.name[:NAME]].append((file, facts.st_size))
                asked[file.name[:NAME]] = max(asked.get(file.name[:NAME], 0.0), facts.st_mtime)
    total = size + sum(size for several in files.values() for _, size in several)
    for name in sorted(files, key=asked.__getitem__):
        if total <= most_bytes() or now - asked[name] < IN_USE_SECONDS:
            return
        if name == keep:
            continue
        for file, held in files[name]:
            total -= held
            with suppress(OSError):  # Windows keeps a file that is being read
                file.unlink()


def _folder() -> Path:
    return cache_folder("remote")


def _ending(url: str) -> str:
    ending = PurePosixPath(url).suffix.lower()
    return ending if ending[1:].isalnum() and len(ending) <= 8 else ""
