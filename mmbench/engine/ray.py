"""Tasks over a Ray cluster: actors that hold what they need, a queue that gives the next task to whoever is free."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from mmbench.engine.claims import TRIES
from mmbench.engine.pool import END_SECONDS, Setup
from mmbench.engine.queue import TaskQueue, tell_what_follows
from mmbench.errors import MMBenchError, WorkerDied, require_extra

T = TypeVar("T")
R = TypeVar("R")

WAIT_SECONDS = 1.0
READY_SECONDS = 900.0
"""For how long a cluster may have no actor for us before that is an error."""


@dataclass(frozen=True)
class RayCluster:
    """Where tasks go. `address` as Ray's own ("auto", "ray://HOST:10001"); "" starts Ray on this machine alone.

    `workers` actors, each with `cpus` and `gpus` (a share, as 0.5) of the cluster.
    """

    address: str = ""
    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0


class Admission(Enum):
    """Whether a task is to be done, and whether its actor may begin with the next one beside it."""

    NO = 0
    ALONE = 1
    AHEAD = 2


def _all(task: object) -> Admission:
    return Admission.ALONE


def run_on_ray(
    tasks: Sequence[T],
    setup: Setup[T, R],
    cluster: RayCluster,
    *,
    on_result: Callable[[T, R], None],
    lost: Callable[[T, WorkerDied], R],
    admit: Callable[[T], Admission] = _all,
    name: Callable[[T], str] = str,
    seconds: float | None = None,
) -> None:
    """Do every task; `on_result` sees each result in this process, the only one that has to write.

    `admit` is asked of each task once, in this process, just before an actor is first given it. With one that is
    `AHEAD`, actors are told the task that will likely follow, as workers by `run_tasks`: which is not admitted yet, and
    may become another's. By default all are done, each alone. Tasks and results travel by Ray: let them be paths and
    numbers, never frames. An actor that dies, with its process or its node, is replaced as soon as the cluster has
    room, and its task given out again; one at which a third dies, or that takes more than `seconds`, becomes what
    `lost` makes of it. Raises the first exception of a task or of `setup`; MissingDependency without the extra `ray`;
    WorkerDied where the cluster has no room for an actor. Ctrl-C ends the actors.
    """
    require_extra("ray")
    with _connected(cluster) as ray:
        pool = _Actors(ray, tasks, setup, cluster, on_result, lost, name)
        try:
            pool.run(admit, seconds)
        finally:
            pool.end()


class _Served:
    """An actor: what a worker needs, made once, and its function."""

    def __init__(self, setup: Setup[Any, Any], number: int) -> None:
        self._stack, self._setup, self._number = ExitStack(), setup, number
        self._do: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Answer when the process is there."""

    def do(self, task: Any, upcoming: Any = None) -> tuple[Any, Exception | None]:
        """The result of a task, or its exception as it was; `upcoming` will likely follow."""
        try:
            if self._do is None:
                self._do = self._stack.enter_context(self._setup(self._number))
            tell_what_follows(self._do, upcoming)
            return self._do(task), None
        except Exception as cause:
            return None, cause if isinstance(cause, MMBenchError) else RuntimeError(f"{type(cause).__name__}: {cause}")

    def end(self) -> None:
        """Give back what the worker had."""
        self._stack.close()


@dataclass
class _Actor:
    """This process's side of an actor: the index of the task it has, since when; none where it is being made."""

    handle: Any
    number: int
    task: int | None = None
    since: float = 0.0


NOBODY = -1
"""The number of no actor."""


class _Actors(Generic[T, R]):
    def __init__(
        self,
        ray: Any,
        tasks: Sequence[T],
        setup: Setup[T, R],
        cluster: RayCluster,
        on_result: Callable[[T, R], None],
        lost: Callable[[T, WorkerDied], R],
        name: Callable[[T], str],
    ) -> None:
        self._ray, self._tasks, self._setup, self._cluster = ray, tasks, setup, cluster
        self._on_result, self._lost, self._name = on_result, lost, name
        self._waiting = TaskQueue(len(tasks), foretell=True)
        self._class = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=0)(_Served)
        self._admitted: dict[int, Admission] = {}  # of tasks that are not done
        self._asked: dict[Any, _Actor] = {}
        self._free: list[_Actor] = []
        self._tries: Counter[int] = Counter()
        self._made = 0
        self._life = time.monotonic()  # when somebody last answered

    def run(self, admit: Callable[[T], Admission], seconds: float | None) -> None:
        for _ in range(self._cluster.workers):
            self._start()
        while True:
            while self._free and (index := self._next(self._free[-1].number, admit)) is not None:
                self._give(self._free.pop(), index)
            if all(actor.task is None for actor in self._asked.values()):
                # Where nobody is there yet, what others have meanwhile is no reason to wait for somebody.
                if self._free or (index := self._next(NOBODY, admit)) is None:
                    return
                self._waiting.again(index, first=True)
            done, _ = self._ray.wait(list(self._asked), timeout=WAIT_SECONDS)
            for reference in done:
                self._hear(reference)
            self._end_late(seconds)
            if done:
                self._life = time.monotonic()
            elif all(actor.task is None for actor in self._asked.values()) and not self._free:
                self._nobody()

    def _start(self) -> None:
        actor = _Actor(self._class.remote(self._setup, self._made), self._made)
        self._made += 1
        self._asked[actor.handle.ready.remote()] = actor

    def _next(self, number: int, admit: Callable[[T], Admission]) -> int | None:
        """The next task for an actor that is to be done, None where none is left."""
        while self._waiting:
            index = self._waiting.take(number)
            if index not in self._admitted:
                self._admitted[index] = admit(self._tasks[index])
            if self._admitted[index] is not Admission.NO:
                return index
        return None

    def _give(self, actor: _Actor, index: int) -> None:
        ahead = self._admitted[index] is Admission.AHEAD
        following = self._waiting.following(actor.number, index) if ahead else None
        upcoming = None if following is None else self._tasks[following]
        actor.task, actor.since = index, time.monotonic()
        self._asked[actor.handle.do.remote(self._tasks[index], upcoming)] = actor

    def _hear(self, reference: Any) -> None:
        """An answer, or the death of whoever was asked."""
        actor = self._asked.pop(reference)
        index, actor.task = actor.task, None
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours: what tasks raise comes as an answer
        except self._ray.exceptions.RayError as cause:
            self._bury(actor, index, str(cause))
            return
        self._free.append(actor)
        if index is None:
            return
        result, fault = answer
        if fault is not None:
            raise fault
        self._on_result(self._tasks[index], result)

    def _bury(self, actor: _Actor, index: int | None, cause: str) -> None:
        """An actor is dead: another takes its place, and its task is next, or lost."""
        self._waiting.died(actor.number, index)
        self._start()
        if index is None:
            return
        self._tries[index] += 1
        if self._tries[index] < TRIES:
            self._waiting.again(index, first=True)
            return
        said = f"An actor of Ray died at {self._name(self._tasks[index])}: {cause}".splitlines()[0]
        self._lose(index, WorkerDied(said, "What its node printed may say why; leave it out to go on."))

    def _end_late(self, seconds: float | None) -> None:
        now = time.monotonic()
        late = [r for r, a in self._asked.items() if seconds and a.task is not None and now - a.since > seconds]
        for reference in late:
            actor = self._asked.pop(reference)
            assert actor.task is not None
            self._ray.kill(actor.handle)
            self._waiting.died(actor.number, actor.task)
            self._start()
            said = f"No end after {seconds:g} s at {self._name(self._tasks[actor.task])}: its process was ended."
            self._lose(actor.task, WorkerDied(said, "Leave it out, or give it more time."))

    def _lose(self, index: int, died: WorkerDied) -> None:
        self._on_result(self._tasks[index], self._lost(self._tasks[index], died))

    def _nobody(self) -> None:
        if time.monotonic() - self._life > READY_SECONDS:
            asked = f"{self._cluster.cpus:g} processors and {self._cluster.gpus:g} GPUs"
            raise WorkerDied(
                f"Ray had no room for an actor of {asked} in {READY_SECONDS:g} s.", "`ray status` says what it has."
            )

    def end(self) -> None:
        """End all actors: those that are free in an orderly way."""
        free = [actor.handle for actor in self._free]
        self._ray.wait([handle.end.remote() for handle in free] or [self._ray.put(0)], timeout=END_SECONDS)
        for handle in (*free, *(actor.handle for actor in self._asked.values())):
            self._ray.kill(handle)


@contextmanager
def _connected(cluster: RayCluster) -> Iterator[Any]:
    """Ray, connected; what this call began is ended with it."""
    import ray

    ours = not ray.is_initialized()
    if ours:
        # Without an address Ray would take every processor of a shared node: it gets what was asked for.
        # "local": or Ray would look for a cluster that somebody else runs on this machine.
        cpus = max(1, round(cluster.workers * cluster.cpus))
        alone = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        ray.init(**({"address": cluster.address} if cluster.address else alone), log_to_driver=False)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
