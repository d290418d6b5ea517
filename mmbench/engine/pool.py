"""Tasks over this process, or over spawned ones that share nothing but what the caller gives them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from mmbench.engine.claims import TRIES
from mmbench.engine.queue import TaskQueue, tell_what_follows
from mmbench.errors import WorkerDied

T = TypeVar("T")
R = TypeVar("R")

Setup = Callable[[int], AbstractContextManager[Callable[[T], R]]]
"""`setup(number)` makes what a worker needs and gives the function that does one task.

It is entered once a process, at its first task, and left when nothing more is to do. `number` differs for every process
of a call, restarted ones too. A function that is `Foresighted` is told the task that will likely follow."""


THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
END_SECONDS = 10.0
"""How long an ending worker may take to close its files before it is killed."""

GUARD = (
    "Worker processes import the calling script again: save it as a file and put its calls under "
    '`if __name__ == "__main__":`, or use one worker.'
)


def run_tasks(
    tasks: Sequence[T],
    setup: Setup[T, R],
    *,
    workers: int = 1,
    on_result: Callable[[T, R], None] | None = None,
    name: Callable[[T], str] = str,
    lost: Callable[[T, WorkerDied], R] | None = None,
    seconds: float | None = None,
    foretell: bool = False,
) -> list[R]:
    """Do every task and return the results in the order of the tasks; `on_result` sees each as soon as it is there.

    workers=1 stays in this process; more are spawned, so `setup`, tasks and results must be picklable. A worker that
    dies, however it dies, is replaced and its task given out again; a task at which a third worker dies becomes
    what `lost` makes of it. A worker that has had its task for more than `seconds`, the making of what it needs not
    counted in, is killed, and the task is lost at once: nothing in the worker's own process can end a library that
    hangs. With workers=1 nothing watches. `name` says in errors which task it was. With `foretell` workers are told the
    task that will likely follow; one at which a worker died, and one foretold then, are done with nothing beside them.

    Raises the first exception of a task or of `setup`; WorkerDied where a task is lost and there is no `lost`, where
    workers cannot start, or die one after the other. Whatever ends the call, Ctrl-C included, ends the workers.
    """
    if _importing_main():
        raise WorkerDied("This call is made while a worker process imports its script.", GUARD)
    if not tasks:
        return []
    tell = on_result or _ignore
    if workers > 1 and len(tasks) > 1:
        return _Pool(tasks, setup, tell, name, lost, seconds, foretell).run(min(workers, len(tasks)))
    results = []
    with setup(0) as do:
        for number, task in enumerate(tasks, start=1):
            tell_what_follows(do, tasks[number] if foretell and number < len(tasks) else None)
            results.append(do(task))
            tell(task, results[-1])
    return results


class _Fault:
    """An exception of a worker on its way to the parent, with the traceback as text."""

    def __init__(self, cause: Exception) -> None:
        cause.add_note(f"In a worker process:\n{''.join(traceback.format_exception(cause))}")
        self.cause = cause


class _Started:
    """What a worker says first: it could import all it was given."""


class _Begun:
    """What a worker says when it has all it needs for its task and begins with it."""


class _Worker(Generic[T, R]):
    """The parent's side of one process: a pipe of its own, and the task it has."""

    def __init__(self, setup: Setup[T, R], number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(other, setup, number), name=f"worker {number}", daemon=True
        )
        self.number, self.started = number, False
        self.task: int | None = None
        self.reached = False  # whether that task can have been begun
        self.begun: float | None = None  # when it was, by this process's clock
        self.late = False
        with _one_thread_each():
            self.process.start()
        other.close()  # only the worker holds its end: when it dies, this one reads the end of the stream

    def give(self, index: int, task: T, upcoming: T | None = None) -> None:
        """Send a task, and what will likely follow. A dead worker is found out when its answer is awaited."""
        self.task, self.begun = index, None
        try:
            self.pipe.send((task, upcoming))
            self.reached = True
        except OSError:
            self.reached = False

    def answer(self) -> Any:
        """The next message. Raises EOFError when the process is dead and has said all it could."""
        try:
            if self.pipe.poll() or self.process.is_alive():
                return self.pipe.recv()
        except OSError:
            pass
        raise EOFError

    def end(self) -> None:
        """Ask it to end, for it has nothing to do."""
        with suppress(OSError):
            self.pipe.send(None)


class _Pool(Generic[T, R]):
    def __init__(
        self,
        tasks: Sequence[T],
        setup: Setup[T, R],
        on_result: Callable[[T, R], None],
        name: Callable[[T], str],
        lost: Callable[[T, WorkerDied], R] | None,
        seconds: float | None,
        foretell: bool,
    ) -> None:
        self._tasks, self._setup, self._on_result, self._name, self._lost = tasks, setup, on_result, name, lost
        self._seconds = seconds
        self._waiting = TaskQueue(len(tasks), foretell)
        self._tries = [0] * len(tasks)
        self._results: dict[int, R] = {}
        self._workers: list[_Worker[T, R]] = []
        self._made = 0
        self._deaths = 0  # since the last result

    def run(self, workers: int) -> list[R]:
        try:
            for _ in range(workers):
                self._start()
            while len(self._results) < len(self._tasks):
                self._step(workers)
            for worker in self._workers:
                worker.end()
            self._join(END_SECONDS)
        finally:
            for worker in self._workers:
                worker.process.terminate()
            self._join(END_SECONDS)
            for worker in self._workers:
                worker.process.kill()
                worker.process.join()
                worker.pipe.close()
        return [self._results[index] for index in range(len(self._tasks))]

    def _start(self) -> None:
        worker = _Worker(self._setup, self._made)
        self._made += 1
        self._workers.append(worker)

    def _step(self, workers: int) -> None:
        """Give tasks to whoever has none, wait for one message or death, and act on it."""
        for worker in self._workers:
            if worker.task is None and self._waiting:
                index = self._waiting.take(worker.number)
                following = self._waiting.following(worker.number, index)
                worker.give(index, self._tasks[index], None if following is None else self._tasks[following])
        by_handle: dict[Any, _Worker[T, R]] = {worker.process.sentinel: worker for worker in self._workers}
        by_handle |= {worker.pipe: worker for worker in self._workers}
        heard = wait(list(by_handle), self._patience())
        for worker in {id(found): found for found in (by_handle[handle] for handle in heard)}.values():
            try:
                message = worker.answer()
            except EOFError:
                self._bury(worker, workers)
                continue
            if isinstance(message, _Fault):
                raise message.cause
            if isinstance(message, _Started):
                worker.started = True
            elif isinstance(message, _Begun):
                worker.begun = time.monotonic()
            else:
                self._finish(worker, message)
        self._end_late()

    def _patience(self) -> float | None:
        """Seconds until the first worker is late with its task, None where nobody can be."""
        begun = [worker.begun for worker in self._workers if worker.begun is not None]
        if self._seconds is None or not begun:
            return None
        return max(0.0, min(begun) + self._seconds - time.monotonic())

    def _end_late(self) -> None:
        """Kill workers that have had their task too long; their deaths are heard of like any other."""
        for worker in self._workers:
            if self._seconds is not None and worker.begun is not None and not worker.late:
                worker.late = time.monotonic() - worker.begun >= self._seconds and not worker.pipe.poll()
                if worker.late:
                    worker.begun = None
                    worker.process.kill()

    def _finish(self, worker: _Worker[T, R], result: R) -> None:
        assert worker.task is not None
        index, worker.task, worker.begun = worker.task, None, None
        self._deaths = 0
        self._done(index, result)

    def _done(self, index: int, result: R) -> None:
        self._results[index] = result
        self._on_result(self._tasks[index], result)

    def _bury(self, worker: _Worker[T, R], workers: int) -> None:
        """A worker is dead: its task goes back into the queue or is lost, and another worker takes its place."""
        worker.process.join(END_SECONDS)
        worker.pipe.close()
        self._workers.remove(worker)
        self._waiting.died(worker.number, worker.task)
        code = _signed(worker.process.exitcode)
        self._deaths += 1
        died = WorkerDied(*_obituary(code, self._name(self._tasks[worker.task]) if worker.task is not None else None))
        if worker.late and worker.task is not None:
            said = f"No end after {self._seconds:g} s at {self._name(self._tasks[worker.task])}: its process was ended."
            died = WorkerDied(said, "Leave it out, or give it more time.")
            self._tries[worker.task] = TRIES
        if not worker.started and code >= 0:
            raise WorkerDied(f"A worker process ended with exit code {code} before it could begin.", GUARD)
        if worker.task is not None and worker.started and worker.reached:
            self._tries[worker.task] += 1
        if self._deaths > TRIES * (workers + 1):  # nothing gets done any more
            raise died
        if worker.task is not None:
            if self._tries[worker.task] < TRIES:
                self._waiting.again(worker.task)
            elif self._lost is None:
                raise died
            else:
                self._done(worker.task, self._lost(self._tasks[worker.task], died))
        idle = sum(other.task is None for other in self._workers)
        if len(self._waiting) > idle:
            self._start()

    def _join(self, seconds: float) -> None:
        wait_for = [worker.process for worker in self._workers if worker.process.is_alive()]
        while wait_for and wait([process.sentinel for process in wait_for], seconds):
            wait_for = [process for process in wait_for if process.is_alive()]


def _signed(code: int | None) -> int:
    """Exit code, negative where a signal ended the process; `_end` answers SIGTERM in an orderly way, as a shell."""
    if code is None:
        return -int(signal.SIGTERM)
    return -int(signal.SIGTERM) if code == 128 + signal.SIGTERM else code


def _obituary(code: int, task: str | None) -> tuple[str, str]:
    """Message and remedy of a death: the signal or the exit code, the task, what to do."""
    again = "Run the same command again to continue; finished work is kept."
    at = f" at {task}" if task is not None else ""
    if code >= 0:
        return f"A worker process ended by itself with exit code {code}{at}.", f"What it printed may say why. {again}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    message = f"A worker process was ended by {name} (exit code {code}){at}."
    if name == "SIGKILL":
        return message, f"Most often the memory was full: fewer workers need less. {again}"
    return message, again


def _serve(pipe: Connection, setup: Setup[Any, Any], number: int) -> None:
    """The worker's side: tasks until None, or until the parent is gone."""
    signal.signal(signal.SIGINT, _leave_to_the_parent)
    signal.signal(signal.SIGTERM, _end)
    try:
        pipe.send(_Started())
        with ExitStack() as stack:
            do: Callable[[Any], Any] | None = None
            while (given := pipe.recv()) is not None:
                task, upcoming = given
                try:
                    if do is None:
                        do = stack.enter_context(setup(number))
                    pipe.send(_Begun())
                    tell_what_follows(do, upcoming)
                    answer = do(task)
                except Exception as cause:
                    answer = _Fault(cause)
                _send(pipe, answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent was killed: stop instead of working on unseen


def _send(pipe: Connection, answer: Any) -> None:
    try:
        pipe.send(answer)
    except OSError:
        raise
    except Exception as cause:  # it cannot be pickled
        told = answer.cause if isinstance(answer, _Fault) else cause
        pipe.send(_Fault(RuntimeError(f"{type(told).__name__}: {told}")))


def _leave_to_the_parent(number: int, frame: object) -> None:
    """Ctrl-C reaches every process of a terminal; the parent alone decides. (An ignored signal would be inherited.)"""


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)  # unlike the signal's own way this closes files and removes temporary ones


def _importing_main() -> bool:
    """Whether this is a spawned process that still imports its parent's script: no pool may be opened there."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def _ignore(task: object, result: object) -> None:
    pass


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Spawned workers inherit one numeric thread each: several busy pools on the same cores spin, not work."""
    before = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
