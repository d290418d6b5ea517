"""Claims: processes on one folder, on this machine or others, take work that no other has and lose nothing when killed.

A claim is a file that only one process can create; that holds on NFS too. It names its holder, who keeps a lock while
it lives and touches a file every few seconds. A claim of a dead holder is not removed but followed by one of a higher
number, so numbers tell how many died at the same piece of work, and two heirs cannot both be the first.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from multiprocessing import current_process
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from uuid import uuid4

from mmbench.files import sha256, write_json

FOLDER = ".claims"
BEAT_SECONDS = 10.0
"""Between two signs of life."""
STALE_SECONDS = 180.0
"""Without a sign of life for so long, a holder on another machine is dead. File systems show changes a minute late."""
POLL_SECONDS = 0.5
NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EINVAL)
"""What file systems say that give a file one name only."""
TRIES = 3
"""So many may die at one piece of work before it is given up; the first ones may have died of a neighbour's memory."""


@dataclass(frozen=True)
class WorkClaim:
    """A piece of work that is this process's own. `dead` holders had it before and did not come to an end."""

    name: str
    path: Path
    dead: int = 0

    @property
    def hopeless(self) -> bool:
        """Whether as many died at it as may."""
        return self.dead >= TRIES


class Claims:
    """The claims of one process in `folder`; used as a context manager, at whose end the claims left are given back.

    `said` is JSON that others read about this holder (`others`), beside its process, machine and time.
    """

    def __init__(self, folder: Path, **said: Any) -> None:
        self._folder = folder / FOLDER
        self.id = uuid4().hex[:16]
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        here = {"process": current_process().pid, "machine": platform.node(), "system": _system(), "since": since}
        self.said: dict[str, Any] = {**said, **here, "holder": self.id}
        self._held: dict[str, WorkClaim] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Claims:
        import filelock

        self._holders().mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self._mark(self.id, "lock"), timeout=0)
        with suppress(NotImplementedError):  # without locks the signs of life have to do
            self._lock.acquire()
        self._mark(self.id, "beat").touch()
        self._mark(self.id, "claim").write_text(self._said_of_a_claim(), encoding="utf-8")
        self.tell()
        self._thread = threading.Thread(target=self._live, name="signs of life", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        for claim in list(self._held.values()):
            self.leave(claim)
        for word in ("json", "beat", "claim"):
            with suppress(OSError):
                self._mark(self.id, word).unlink(missing_ok=True)
        self._lock.release()
        with suppress(OSError):  # Windows keeps a file that another process looks at
            self._mark(self.id, "lock").unlink(missing_ok=True)
        self._sweep()

    def tell(self, **said: Any) -> None:
        """Let others know what `said` holds, and this."""
        self.said.update(said)
        write_json(self._mark(self.id, "json"), self.said)

    def take(self, name: str) -> WorkClaim | None:
        """The claim to `name`, None while another living process has it. Then look again whether it is still to do."""
        number = 0
        while True:
            path = self._path(name, number)
            try:
                self._create(path)
            except FileExistsError:
                state = self._state(path)
                if state == "held":
                    return None
                number = number + 1 if state == "dead" else 0
                continue
            if not all(self._state(self._path(name, below)) == "dead" for below in range(number)):
                # The claims below it were given back after they were read: this is no heir, and there is no queue here.
                path.unlink(missing_ok=True)
                number = 0
                continue
            above = number + 1
            while self._state(self._path(name, above)) == "dead":  # of one that died while it gave back
                self._path(name, above).unlink(missing_ok=True)
                above += 1
            self._held[name] = claim = WorkClaim(name, path, number)
            return claim

    def done(self, claim: WorkClaim) -> None:
        """Give back a claim whose work is done, for good; what dead holders left of it goes too.

        From below, its own last: while it stands no other can take its number and believe in the dead below.
        """
        for number in range(claim.dead + 1):
            self._path(claim.name, number).unlink(missing_ok=True)
        self._held.pop(claim.name, None)

    def leave(self, claim: WorkClaim) -> None:
        """Give back a claim whose work is not done; the dead before it stay counted."""
        claim.path.unlink(missing_ok=True)
        self._held.pop(claim.name, None)

    def free(self, name: str) -> bool:
        """Whether `take` would give the claim now: nobody has it, or all who had it are dead."""
        number = 0
        while (state := self._state(self._path(name, number))) == "dead":
            number += 1
        return state == "gone"

    @contextmanager
    def only(self, name: str) -> Iterator[None]:
        """Wait for the claim to `name`, and have it within the block: what one process does at a time."""
        while (claim := self.take(name)) is None:
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.done(claim)

    def others(self) -> list[dict[str, Any]]:
        """What the other living holders said, the workers of this process among them."""
        found = []
        for path in sorted(self._holders().glob("*.json")):
            said = _read(path)
            if said and said.get("holder") not in (None, self.id) and self._holder_lives(said):
                found.append(said)
        return found

    def _create(self, path: Path) -> None:
        """Make a claim's file, with all it says from its first moment on. Raises FileExistsError.

        Where the file system has no second names it is empty for a moment, and a process killed then keeps it for
        `STALE_SECONDS`.
        """
        try:
            os.link(self._mark(self.id, "claim"), path)
        except OSError as cause:
            if cause.errno not in NO_LINKS:
                raise
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(self._said_of_a_claim())

    def _said_of_a_claim(self) -> str:
        return json.dumps({key: self.said[key] for key in ("holder", "system")})

    def _state(self, path: Path) -> Literal["held", "dead", "gone"]:
        """Of a claim's file: its holder lives, or not, or it was given back."""
        said = _read(path)
        try:
            if said is None:  # being written, or its writer was killed between two calls
                return "held" if self._now() - path.stat().st_mtime < STALE_SECONDS else "dead"
        except FileNotFoundError:
            return "gone"
        return "held" if said["holder"] == self.id or self._holder_lives(said) else "dead"

    def _holder_lives(self, said: dict[str, Any]) -> bool:
        import filelock

        lock = self._mark(str(said["holder"]), "lock")
        if not lock.exists():
            return False
        if said.get("system") == _system():
            try:
                with filelock.FileLock(lock, timeout=0):
                    return False
            except filelock.Timeout:
                return True
            except (NotImplementedError, PermissionError):
                pass  # without locks, or in a folder of somebody else's
        try:
            return self._now() - self._mark(str(said["holder"]), "beat").stat().st_mtime < STALE_SECONDS
        except FileNotFoundError:
            return False

    def _now(self) -> float:
        """The time by the clock that stamps the files of this folder, whatever this machine's own says."""
        beat = self._mark(self.id, "beat")
        with suppress(OSError):
            os.utime(beat)
            return beat.stat().st_mtime
        return time.time()

    def _live(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # a disk that is full or away for a moment: others wait for longer than that
                os.utime(self._mark(self.id, "beat"))

    def _sweep(self) -> None:
        """Remove what dead holders left, and the folders where nothing is left in them."""
        for path in self._holders().glob("*.json"):
            said = _read(path)
            if said and said.get("holder") and not self._holder_lives(said):
                for word in ("json", "beat", "claim", "lock"):
                    with suppress(OSError):
                        self._mark(said["holder"], word).unlink(missing_ok=True)
        for folder in (self._holders(), self._folder):
            with suppress(OSError):
                folder.rmdir()

    def _holders(self) -> Path:
        return self._folder / "holders"

    def _mark(self, holder: str, word: str) -> Path:
        return self._holders() / f"{holder}.{word}"

    def _path(self, name: str, number: int) -> Path:
        return self._folder / f"{sha256(name.encode(errors='surrogatepass'))[:32]}.{number}"


def dead_at(folder: Path, name: str) -> int:
    """How many claims to `name` stand in a folder: of holders that died, and of one that has it now."""
    number = 0
    while (folder / FOLDER / f"{sha256(name.encode(errors='surrogatepass'))[:32]}.{number}").exists():
        number += 1
    return number


def _read(path: Path) -> dict[str, Any] | None:
    """What a file says; None where it is gone or not written to its end."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and "holder" in said else None


@cache
def _system() -> str:
    """What tells the running system apart from all others, whatever containers it runs: there a lock is the truth."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return platform.node()
