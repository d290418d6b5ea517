"""Tasks over a Ray cluster: actors that hold what they need, a queue that gives the next task to whoever is free."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from mmbench.engine.claims import TRIES
from mmbench.engine.pool import END_SECONDS, Setup
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


def run_on_ray(
    tasks: Iterable[T],
    setup: Setup[T, R],
    cluster: RayCluster,
    *,
    on_result: Callable[[T, R], None],
    lost: Callable[[T, WorkerDied], R],
    name: Callable[[T], str] = str,
    seconds: float | None = None,
) -> None:
    """Do every task; `on_result` sees each result in this process, the only one that has to write.

    `tasks` are drawn one by one as actors become free, so a generator may still decide. Tasks and results travel by
    Ray: let them be paths and numbers, never frames. An actor that dies, with its process or its node, is replaced as
    soon as the cluster has room, and its task given out again; one at which a third dies, or that takes more than
    `seconds`, becomes what `lost` makes of it. Raises the first exception of a task or of `setup`; MissingDependency
    without the extra `ray`; WorkerDied where the cluster has no room for an actor. Ctrl-C ends the actors.
    """
    require_extra("ray")
    with _connected(cluster) as ray:
        pool = _Actors(ray, setup, cluster, name)
        try:
            pool.run(iter(tasks), on_result, lost, seconds)
        finally:
            pool.end()


class _Served:
    """An actor: what a worker needs, made once, and its function."""

    def __init__(self, setup: Setup[Any, Any], number: int) -> None:
        self._stack, self._setup, self._number = ExitStack(), setup, number
        self._do: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Answer when the process is there."""

    def do(self, task: Any) -> tuple[Any, Exception | None]:
        """The result of a task, or its exception as it was."""
        try:
            if self._do is None:
                self._do = self._stack.enter_context(self._setup(self._number))
            return self._do(task), None
        except Exception as cause:
            return None, cause if isinstance(cause, MMBenchError) else RuntimeError(f"{type(cause).__name__}: {cause}")

    def end(self) -> None:
        """Give back what the worker had."""
        self._stack.close()


@dataclass
class _Given:
    """What an actor was asked: to be ready (no task), or a task."""

    actor: Any
    task: Any = None
    since: float = 0.0


class _Actors:
    def __init__(self, ray: Any, setup: Setup[Any, Any], cluster: RayCluster, name: Callable[[Any], str]) -> None:
        self._ray, self._setup, self._cluster, self._name = ray, setup, cluster, name
        self._actor = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=0)(_Served)
        self._asked: dict[Any, _Given] = {}
        self._free: list[Any] = []
        self._again: deque[Any] = deque()
        self._tries: Counter[str] = Counter()
        self._made = 0
        self._life = time.monotonic()  # when somebody last answered

    def run(
        self,
        tasks: Iterator[Any],
        on_result: Callable[[Any, Any], None],
        lost: Callable[[Any, WorkerDied], Any],
        seconds: float | None,
    ) -> None:
        for _ in range(self._cluster.workers):
            self._start()
        while True:
            while self._free:
                task = self._again.popleft() if self._again else next(tasks, None)
                if task is None:
                    break
                self._give(self._free.pop(), task)
            if not self._again and not any(given.task is not None for given in self._asked.values()):
                if self._free or (task := next(tasks, None)) is None:
                    return
                self._again.append(task)
            done, _ = self._ray.wait(list(self._asked), timeout=WAIT_SECONDS)
            for reference in done:
                self._hear(reference, on_result, lost)
            self._end_late(seconds, on_result, lost)
            if done:
                self._life = time.monotonic()
            elif all(given.task is None for given in self._asked.values()) and not self._free:
                self._nobody()

    def _start(self) -> None:
        actor = self._actor.remote(self._setup, self._made)
        self._made += 1
        self._asked[actor.ready.remote()] = _Given(actor)

    def _give(self, actor: Any, task: Any) -> None:
        self._asked[actor.do.remote(task)] = _Given(actor, task, time.monotonic())

    def _hear(self, reference: Any, on_result: Callable[..., None], lost: Callable[..., Any]) -> None:
        """An answer, or the death of whoever was asked."""
        given = self._asked.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours: what tasks raise comes as an answer
        except self._ray.exceptions.RayError as cause:
            self._start()
            if given.task is not None:
                self._died(given.task, f"An actor of Ray died at {self._name(given.task)}: {cause}", on_result, lost)
            return
        self._free.append(given.actor)
        if given.task is None:
            return
        result, fault = answer
        if fault is not None:
            raise fault
        on_result(given.task, result)

    def _died(self, task: Any, said: str, on_result: Callable[..., None], lost: Callable[..., Any]) -> None:
        name = self._name(task)
        self._tries[name] += 1
        if self._tries[name] < TRIES:
            self._again.append(task)
        else:
            died = WorkerDied(said.splitlines()[0], "What its node printed may say why; leave it out to go on.")
            on_result(task, lost(task, died))

    def _end_late(self, seconds: float | None, on_result: Callable[..., None], lost: Callable[..., Any]) -> None:
        late = [r for r, g in self._asked.items() if seconds and g.task is not None and self._age(g) > seconds]
        for reference in late:
            given = self._asked.pop(reference)
            self._ray.kill(given.actor)
            self._start()
            said = f"No end after {seconds:g} s at {self._name(given.task)}: its process was ended."
            on_result(given.task, lost(given.task, WorkerDied(said, "Leave it out, or give it more time.")))

    def _age(self, given: _Given) -> float:
        return time.monotonic() - given.since

    def _nobody(self) -> None:
        if time.monotonic() - self._life > READY_SECONDS:
            asked = f"{self._cluster.cpus:g} processors and {self._cluster.gpus:g} GPUs"
            raise WorkerDied(
                f"Ray had no room for an actor of {asked} in {READY_SECONDS:g} s.", "`ray status` says what it has."
            )

    def end(self) -> None:
        """End all actors: those that are free in an orderly way."""
        self._ray.wait([actor.end.remote() for actor in self._free] or [self._ray.put(0)], timeout=END_SECONDS)
        for actor in (*self._free, *(given.actor for given in self._asked.values())):
            self._ray.kill(actor)


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
