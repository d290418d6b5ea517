"""One process at a time in a folder whose work is not shared: a second one is told who is there."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from multiprocessing import current_process
from pathlib import Path

from mmbench.errors import BusyFolder, ManifestError
from mmbench.files import read_json, write_json

LOCK, HOLDER = ".work.lock", ".work.json"


@contextmanager
def alone(folder: Path, work: str) -> Iterator[None]:
    """Hold `folder` (made where it is not there) for `work`, as "an evaluation", until the block is left.

    The system keeps the lock: it falls with its process, however that ends, on other machines too where the file
    system shares locks. Raises BusyFolder, naming process, machine and time, while another call holds it, in this
    process or elsewhere. Where the file system has no locks a warning says so, and nothing is held.
    """
    import filelock

    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = filelock.FileLock(folder / LOCK, timeout=0), folder / HOLDER
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BusyFolder(
            f"{folder}: {_told(holder)} is at work in it.",
            "Wait until that has ended, or stop it, and run the same command again; or name another folder.",
        ) from None
    except NotImplementedError:
        warnings.warn(f"{folder}: its file system has no locks; start nothing else in this folder.", stacklevel=3)
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        said = {"work": work, "process": current_process().pid, "machine": platform.node(), "since": since}
        write_json(holder, said)
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
            if made and [path.name for path in folder.iterdir()] in ([LOCK], []):  # nothing came of it
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
        lock.release()


def _told(holder: Path) -> str:
    """Who holds a folder, in words; the account may be missing for the moment between lock and writing."""
    try:
        said = read_json(holder)
        return f"{said['work']} (process {said['process']} on {said['machine']}, since {said['since']})"
    except (OSError, ManifestError, KeyError, TypeError):
        return "another process"
