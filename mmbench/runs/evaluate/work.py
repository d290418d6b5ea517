"""Clips through the pool of workers: a row each, on disk before the next clip begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count

from mmbench.config import EvaluateSettings
from mmbench.engine.pool import run_tasks
from mmbench.errors import WorkerDied
from mmbench.items import Item
from mmbench.runs.evaluate.clip import file_digest, make_metrics, measure_item
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.rows import ItemRow, RowError
from mmbench.runs.evaluate.store import RowWriter

OnRow = Callable[[ItemRow], None]


def work(
    items: Sequence[Item], settings: EvaluateSettings, gatherer: Gatherer, *, workers: int, attempt: int, on_row: OnRow
) -> None:
    """Measure `items` and store a row for each; `on_row` sees every row when it is safely on disk.

    Rows do not depend on the number of workers. A clip at which two workers die, one after the other, is a row with
    that error. KeyboardInterrupt passes through with everything finished on disk. Raises WorkerDied where workers
    cannot start or all of them die.
    """
    numbers = count()

    def lost(item: Item, died: WorkerDied) -> ItemRow:
        row = ItemRow(item, error=RowError("WorkerDied", died.message, died.remedy, file_digest(item.video)))
        with RowWriter(gatherer.run, f"{attempt:04d}-lost{next(numbers)}") as writer:
            writer.add(row)
        return row

    run_tasks(
        items,
        partial(measuring, settings, gatherer, attempt),
        workers=workers,
        on_result=lambda item, row: on_row(row),
        name=lambda item: str(item.video),
        lost=lost,
    )


@contextmanager
def measuring(
    settings: EvaluateSettings, gatherer: Gatherer, attempt: int, worker: int
) -> Iterator[Callable[[Item], ItemRow]]:
    """What a worker does. Its networks are loaded at the first clip, once."""
    metrics = list(make_metrics(settings).values())
    with RowWriter(gatherer.run, f"{attempt:04d}-{worker}") as writer:

        def measure(item: Item) -> ItemRow:
            row = measure_item(item, metrics, gatherer)
            writer.add(row)
            return row

        yield measure
