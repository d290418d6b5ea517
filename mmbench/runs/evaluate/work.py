"""Clips through the pool of workers: a row each, on disk before the next clip begins, none that another process has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

from mmbench.config import EvaluateSettings
from mmbench.engine.claims import TRIES, Claims, WorkClaim
from mmbench.engine.pool import run_tasks
from mmbench.engine.ray import Admission, RayCluster, run_on_ray
from mmbench.errors import WorkerDied
from mmbench.metrics.base import Metric
from mmbench.runs.evaluate.clip import Task, lost, make_metrics, measure_item
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.index import RowIndex
from mmbench.runs.evaluate.plan import answers
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.store import RowWriter

OnRow = Callable[[ItemRow], None]

START_SECONDS = 600.0
"""What loading the networks, at a worker's first clip, may take beside the clip's own time."""
HOPELESS = (
    f"{TRIES} processes ended at it, one after the other.",
    "Leave it out, or give it more memory. If they were stopped from outside, --retry tries it again.",
)


@dataclass(frozen=True)
class Errand:
    """What workers are sent once: settings, what meets needs, the command's number, how far rows had been read."""

    settings: EvaluateSettings
    gatherer: Gatherer
    attempt: int
    seen: Mapping[str, tuple[int, int]]


def work(tasks: Sequence[Task], errand: Errand, claims: Claims, *, workers: int, turn: int = 0, on_row: OnRow) -> None:
    """Do those of `tasks` that no other process has or has done, and store a row for each.

    `on_row` sees every row when it is safely on disk; `turn` counts the calls of one command. Rows do not depend on the
    number of workers or processes. A clip at which `TRIES` workers die, of this process or of earlier ones, is a row
    with that error; so is one, with several workers, that takes more than twice `limits.clip_seconds` (a decoder or
    network that hangs where it cannot look at the clock). KeyboardInterrupt passes through with everything finished on
    disk. Raises WorkerDied where workers cannot start or all of them die, MachineFault where the disk or the memory is
    full.
    """
    numbers, run = count(), errand.gatherer.run
    metrics, others = make_metrics(errand.settings), RowIndex.behind(run, errand.seen)

    def given_up(task: Task, died: WorkerDied) -> ItemRow | None:
        if (claim := _taken(task, claims, others, metrics)) is None:
            return None
        row = lost(task, "WorkerDied", died.message, died.remedy)
        with RowWriter(run, f"{errand.attempt:04d}-lost{turn}_{next(numbers)}") as writer:
            writer.add(row)
        claims.done(claim)
        return row

    def on_result(task: Task, row: ItemRow | None) -> None:
        if row is not None:
            on_row(row)

    run_tasks(
        tasks,
        partial(measuring, errand, turn),
        workers=workers,
        on_result=on_result,
        name=lambda task: str(task.item.video),
        lost=given_up,
        seconds=2 * errand.settings.limits.clip_seconds + START_SECONDS,
        foretell=True,
    )


def work_on_cluster(
    tasks: Sequence[Task], errand: Errand, claims: Claims, cluster: RayCluster, *, turn: int = 0, on_row: OnRow
) -> None:
    """As `work`, over a Ray cluster: actors measure, this process claims and writes. All nodes see the same files."""
    settings, run = errand.settings, errand.gatherer.run
    metrics = make_metrics(settings)
    with RowWriter(run, f"{errand.attempt:04d}-ray{turn}") as writer:
        others = RowIndex.behind(run, errand.seen, writer.path)
        held: dict[str, WorkClaim] = {}

        def admit(task: Task) -> Admission:
            if (claim := _taken(task, claims, others, metrics)) is None:
                return Admission.NO
            held[task.item.id] = claim
            if claim.hopeless:
                on_result(task, lost(task, "WorkerDied", f"{task.item.video}: {HOPELESS[0]}", HOPELESS[1]))
                return Admission.NO
            return Admission.ALONE if claim.dead else Admission.AHEAD

        def on_result(task: Task, row: ItemRow) -> None:
            writer.add(row)
            claims.done(held.pop(task.item.id))
            on_row(row)

        run_on_ray(
            tasks,
            partial(measuring_only, errand),
            cluster,
            on_result=on_result,
            name=lambda task: str(task.item.video),
            lost=lambda task, died: lost(task, "WorkerDied", died.message, died.remedy),
            admit=admit,
            seconds=2 * settings.limits.clip_seconds + START_SECONDS,
        )


@contextmanager
def measuring_only(errand: Errand, worker: int) -> Iterator[_Measurer]:
    """What an actor does: it measures, and writes no row."""
    try:
        yield _Measurer(errand.gatherer, make_metrics(errand.settings))
    finally:
        errand.gatherer.close()


def _taken(task: Task, claims: Claims, others: RowIndex, metrics: Mapping[str, Metric]) -> WorkClaim | None:
    """The claim to a task's clip; None where another process has it, or has measured it meanwhile."""
    if (claim := claims.take(task.item.id)) is None:
        return None
    others.refresh()
    brief = others.briefs.get(task.item.id)
    if brief is not None and answers(task, brief, metrics, others.run):
        claims.done(claim)
        return None
    return claim


@contextmanager
def measuring(errand: Errand, turn: int, worker: int) -> Iterator[Callable[[Task], ItemRow | None]]:
    """What a worker does: None for a clip that another process has, or has done. Networks are loaded once."""
    metrics, run = make_metrics(errand.settings), errand.gatherer.run
    name = f"{errand.attempt:04d}-{worker}" + (f"_{turn}" if turn else "")
    with Claims(run) as claims, RowWriter(run, name) as writer:
        others = RowIndex.behind(run, errand.seen, writer.path)
        try:
            yield _Measuring(_Measurer(errand.gatherer, metrics), claims, others, writer)
        finally:
            errand.gatherer.close()


@dataclass
class _Measurer:
    """Measures a task; what is expected next is opened meanwhile."""

    gatherer: Gatherer
    metrics: Mapping[str, Metric]
    upcoming: Task | None = None

    def expect(self, task: Task) -> None:
        """The task that will likely follow."""
        self.upcoming = task

    def expected(self) -> Task | None:
        """What was last expected, once."""
        upcoming, self.upcoming = self.upcoming, None
        return upcoming

    def row(self, task: Task, upcoming: Task | None) -> ItemRow:
        """The row of a task, `upcoming` begun beside it."""
        if upcoming is not None:
            self.gatherer.expect(upcoming.item, decode=upcoming.clip is None)
        return measure_item(task, self.metrics, self.gatherer)

    def __call__(self, task: Task) -> ItemRow:
        """The row of a task."""
        return self.row(task, self.expected())


@dataclass
class _Measuring:
    """Measures what no other process has, and writes its row."""

    measurer: _Measurer
    claims: Claims
    others: RowIndex
    writer: RowWriter

    def expect(self, task: Task) -> None:
        """The task that will likely follow."""
        self.measurer.expect(task)

    def __call__(self, task: Task) -> ItemRow | None:
        """The row; None for what another process has."""
        upcoming = self.measurer.expected()
        if (claim := _taken(task, self.claims, self.others, self.measurer.metrics)) is None:
            return None
        try:
            # Where processes have died at a clip it is looked at alone: what it does is then not another's doing.
            row = (
                lost(task, "WorkerDied", f"{task.item.video}: {HOPELESS[0]}", HOPELESS[1])
                if claim.hopeless
                else self.measurer.row(task, None if claim.dead else upcoming)
            )
            self.writer.add(row)
        except BaseException:
            self.claims.leave(claim)
            raise
        self.claims.done(claim)
        return row
