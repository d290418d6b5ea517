"""Clips through the pool of workers: a row each, on disk before the next clip begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count

from mmbench.config import EvaluateSettings
from mmbench.engine.pool import run_tasks
from mmbench.errors import WorkerDied
from mmbench.runs.evaluate.clip import Task, lost, make_metrics, measure_item
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.store import RowWriter

OnRow = Callable[[ItemRow], None]

START_SECONDS = 600.0
"""What loading the networks, at a worker's first clip, may take beside the clip's own time."""


def work(
    tasks: Sequence[Task], settings: EvaluateSettings, gatherer: Gatherer, *, workers: int, attempt: int, on_row: OnRow
) -> None:
    """Do `tasks` and store a row for each; `on_row` sees every row when it is safely on disk.

    Rows do not depend on the number of workers. A clip at which two workers die, one after the other, is a row with
    that error; so is one, with several workers, that takes more than twice `limits.clip_seconds` (a decoder or network
    that hangs where it cannot look at the clock). KeyboardInterrupt passes through with everything finished on disk.
    Raises WorkerDied where workers cannot start or all of them die, MachineFault where the disk or the memory is full.
    """
    numbers = count()

    def given_up(task: Task, died: WorkerDied) -> ItemRow:
        row = lost(task, "WorkerDied", died.message, died.remedy)
        with RowWriter(gatherer.run, f"{attempt:04d}-lost{next(numbers)}") as writer:
            writer.add(row)
        return row

    run_tasks(
        tasks,
        partial(measuring, settings, gatherer, attempt),
        workers=workers,
        on_result=lambda task, row: on_row(row),
        name=lambda task: str(task.item.video),
        lost=given_up,
        seconds=2 * settings.limits.clip_seconds + START_SECONDS,
    )


@contextmanager
def measuring(
    settings: EvaluateSettings, gatherer: Gatherer, attempt: int, worker: int
) -> Iterator[Callable[[Task], ItemRow]]:
    """What a worker does. Its networks are loaded at the first clip, once."""
    metrics = make_metrics(settings)
    with RowWriter(gatherer.run, f"{attempt:04d}-{worker}") as writer:

        def measure(task: Task) -> ItemRow:
            row = measure_item(task, metrics, gatherer)
            writer.add(row)
            return row

        yield measure
