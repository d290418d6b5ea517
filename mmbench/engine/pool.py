"""Work through items: in this process, or in spawned ones that share nothing but the run's folder."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.errors import MMBenchError
from mmbench.items import Item
from mmbench.runs.evaluate.clip import make_metrics, measure_item
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.record import RunManifest
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.store import RowWriter

OnRow = Callable[[ItemRow], None]

THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def work(
    run: Path, items: Sequence[Item], settings: EvaluateSettings, *, workers: int, attempt: int, on_row: OnRow
) -> None:
    """Measure `items` and store a row for each; `on_row` sees every row when it is safely on disk.

    workers=1 stays in this process. Rows do not depend on the number of workers. KeyboardInterrupt passes through
    with everything finished on disk.
    """
    if workers <= 1 or len(items) <= 1:
        with RowWriter(run, f"{attempt:04d}-0") as writer:
            for row in measured(run, iter(items), settings):
                writer.add(row)
                on_row(row)
        return
    _work_in_processes(run, items, settings, min(workers, len(items)), attempt, on_row)


def measured(run: Path, items: Iterator[Item], settings: EvaluateSettings) -> Iterator[ItemRow]:
    """Rows of items, networks loaded once. The reference bank is of all the run's items, not only of these."""
    metrics = list(make_metrics(settings).values())
    gatherer = Gatherer(settings, metrics, RunManifest.load(run).items, run)
    for item in items:
        yield measure_item(item, metrics, gatherer)


def _work_in_processes(
    run: Path, items: Sequence[Item], settings: EvaluateSettings, workers: int, attempt: int, on_row: OnRow
) -> None:
    context = multiprocessing.get_context("spawn")
    tasks: Queue[Item | None] = context.Queue()
    results: Queue[ItemRow | _Crash] = context.Queue()
    for item in items:
        tasks.put(item)
    for _ in range(workers):
        tasks.put(None)
    with _one_thread_each():
        processes = [
            context.Process(
                target=_worker, args=(run, settings, f"{attempt:04d}-{k}", tasks, results, os.getpid()), daemon=True
            )
            for k in range(workers)
        ]
        for process in processes:
            process.start()
    try:
        _collect(len(items), processes, results, on_row)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _collect(expected: int, processes: Sequence[BaseProcess], results: Queue[ItemRow | _Crash], on_row: OnRow) -> None:
    seen = 0
    while seen < expected:
        try:
            result = results.get(timeout=1.0)
        except queue.Empty:
            dead = [p for p in processes if p.exitcode not in (None, 0)]
            if dead:
                raise MMBenchError(
                    f"A worker process died with exit code {dead[0].exitcode} (out of memory?).",
                    "Run the same command again to continue; finished clips are kept. Fewer workers need less memory.",
                ) from None
            continue
        if isinstance(result, _Crash):
            raise MMBenchError(result.message, result.remedy)
        on_row(result)
        seen += 1


class _Crash:
    """A worker could not even start measuring; carried to the parent as text."""

    def __init__(self, message: str, remedy: str) -> None:
        self.message, self.remedy = message, remedy


def _worker(
    run: Path,
    settings: EvaluateSettings,
    name: str,
    tasks: Queue[Item | None],
    results: Queue[Any],
    parent: int,
) -> None:
    def waiting() -> Iterator[Item]:
        while (item := tasks.get()) is not None:
            if os.getppid() != parent:  # the parent was killed: stop instead of working on unseen
                return
            yield item

    try:
        with RowWriter(run, name) as writer:
            for row in measured(run, waiting(), settings):
                writer.add(row)
                results.put(row)
    except MMBenchError as cause:
        results.put(_Crash(cause.message, cause.remedy))
    except KeyboardInterrupt:
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
