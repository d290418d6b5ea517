"""Who makes what, when several processes work in one folder: a claim on a name, held by one of them at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def claim(folder: Path, name: str, *, wait: bool = False) -> Iterator[bool]:
    """Yields True while this process holds `name` in `folder`, False when another one does (and `wait` is not set).

    The system drops the claim of a killed process. Whoever gets one must look again whether the work is still
    to be done. Processes on several machines share claims where the file system shares locks; elsewhere use
    shards.
    """
    import filelock

    places = folder / ".claims"
    places.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(places / f"{name}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(PermissionError):  # Windows keeps a file that is open
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
