"""Several processes on one run: who is at work in it, and on the same thing; their commands' numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.engine.claims import Claims
from mmbench.errors import BusyFolder
from mmbench.runs.evaluate.clip import Task
from mmbench.runs.evaluate.store import next_attempt

RECORD = "(record)"
"""The claim of whoever changes the run's record and its sets."""


@dataclass(frozen=True)
class Joined:
    """This process's part in a run: its claims, and the digest of what it was asked to do."""

    run: Path
    claims: Claims
    asked: str

    def begin(self) -> int:
        """The number of this command; to be asked for while this process has the claim to the record.

        Raises BusyFolder while a process is at work that was asked for other clips, or with other settings.
        """
        for other in self._others():
            if other["asked"] != self.asked:
                who = f"process {other.get('process')} on {other.get('machine')}, since {other.get('since')}"
                raise BusyFolder(
                    f"{self.run}: another evaluation, of other clips or settings, is at work in it ({who}).",
                    "Wait until that has ended, or stop it, and run the same command again; or name another folder.",
                )
        attempt = next_attempt(self.run, self.attempts())
        self.claims.tell(asked=self.asked, attempt=attempt)
        return attempt

    def attempts(self) -> list[int]:
        """The numbers of the commands at work, this one's too once it has one."""
        return [int(said["attempt"]) for said in (*self._others(), self.claims.said) if "attempt" in said]

    def turned(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks in the order to take them in: their own, or, beside other processes, from somewhere else."""
        if not tasks or not self.shared:
            return list(tasks)
        first = int(self.claims.id, 16) % len(tasks)
        return [*tasks[first:], *tasks[:first]]

    @property
    def shared(self) -> bool:
        """Whether other processes are at work in the run."""
        return bool(self._others())

    def _others(self) -> list[dict[str, Any]]:
        return [said for said in self.claims.others() if "asked" in said]


@contextmanager
def joined(run: Path, asked: str) -> Iterator[Joined]:
    """Be at work in `run` (made where it is not there) until the block is left. A folder of which nothing came goes."""
    made = not run.exists()
    run.mkdir(parents=True, exist_ok=True)
    try:
        with Claims(run, work="an evaluation") as claims:
            yield Joined(run, claims, asked)
    finally:
        if made:
            with suppress(OSError):
                run.rmdir()
