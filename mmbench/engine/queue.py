"""What is left to do, for workers of any kind: who gets which task, and what each is told will follow."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Foresighted(Protocol):
    """A worker's function that can begin with a task ahead of its turn."""

    def expect(self, task: Any) -> None:
        """Called before a task is done, with the one that will likely be next. It may never come."""


def tell_what_follows(do: object, upcoming: Any) -> None:
    """Tell a worker's function the task that will likely follow, None where there is none, if it wants to know."""
    if upcoming is not None and isinstance(do, Foresighted):
        do.expect(upcoming)


class TaskQueue:
    """The tasks that no worker has, by their index below `count`; workers go by any number that is theirs alone.

    What is foretold is not given: it stays here for whoever comes, but others are given it last. With `foretell` off
    nothing is foretold, and tasks go out in their order.
    """

    def __init__(self, count: int, foretell: bool) -> None:
        self._waiting, self._foretell = deque(range(count)), foretell
        self._told: dict[int, int] = {}
        self._alone: set[int] = set()  # a worker died at them, or while they were foretold

    def __len__(self) -> int:
        """How many tasks no worker has."""
        return len(self._waiting)

    def take(self, worker: int) -> int:
        """What it was told, else the first task that no other was told; what others were told where nothing else is.

        Raises IndexError where nothing is left.
        """
        told = self._told.pop(worker, None)
        others = set(self._told.values())
        index = next((index for index in self._waiting if index not in others), self._waiting[0])
        if told is not None and told in self._waiting:
            index = told
        self._waiting.remove(index)
        return index

    def following(self, worker: int, index: int) -> int | None:
        """The task to foretell to the worker that is given the one of this index; None where it has to be alone."""
        if not self._foretell or index in self._alone:
            return None
        told = {*self._told.values(), *self._alone}
        found = next((index for index in self._waiting if index not in told), None)
        if found is not None:
            self._told[worker] = found
        return found

    def again(self, index: int, *, first: bool = False) -> None:
        """Take back a task that was not done, behind all others or before them."""
        if first:
            self._waiting.appendleft(index)
        else:
            self._waiting.append(index)

    def died(self, worker: int, index: int | None) -> None:
        """The worker is dead, at the task of this index or at none: that, and what it was told, may have killed it."""
        self._alone |= {found for found in (index, self._told.pop(worker, None)) if found is not None}
