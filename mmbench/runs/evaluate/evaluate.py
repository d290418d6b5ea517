"""Evaluate: plan what is left to do, measure it, score the sets, say how it went."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.device import torch_device
from mmbench.engine.claims import POLL_SECONDS
from mmbench.engine.shard import Shard
from mmbench.engine.spread import Spread
from mmbench.errors import ManifestError, MMBenchError, WeightsError, machine_fault
from mmbench.files import Progress, is_file, silent
from mmbench.items import Item
from mmbench.metrics.base import FrameNeed
from mmbench.metrics.registry import in_order, producer
from mmbench.remote.cache import forget
from mmbench.remote.path import check_storages
from mmbench.runs.evaluate.clip import Task, composed, make_metrics
from mmbench.runs.evaluate.gather import Gatherer, check_devices
from mmbench.runs.evaluate.index import RowIndex, same_as
from mmbench.runs.evaluate.inputs import Inputs, digest_of
from mmbench.runs.evaluate.plan import EvaluatePlan, answers, make_plan
from mmbench.runs.evaluate.record import MANIFEST, RunManifest, attempt_facts, item_json, read_record, recorded_items
from mmbench.runs.evaluate.result import EvaluateResult
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.session import RECORD, Joined, joined
from mmbench.runs.evaluate.sets import SetScorer
from mmbench.runs.evaluate.store import ROWS, RowWriter, next_attempt
from mmbench.runs.evaluate.work import Errand, work, work_on_cluster
from mmbench.runs.inputs.pictures import placed
from mmbench.runs.mirror import mirrored

__all__ = ["EvaluateResult", "default_workers", "evaluate"]


def evaluate(
    items: Sequence[Item],
    run: Path | str,
    settings: EvaluateSettings | None = None,
    *,
    workers: int = 1,
    retry: bool = False,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> EvaluateResult:
    """Measure what `run` does not hold yet of every item, and score each model's set.

    A number holds while everything it was made of does: the video, references, the run's people, prompt, rate,
    settings, weights, the metric's version. What has changed is measured again, and nothing else; so the rows of a run
    are those of a fresh one on the same items, whatever came before. Items that share no id with an earlier command's
    join its items; else they take their place. Metrics of earlier commands stay the run's. With `retry` failures
    are tried again. `notes` say what was passed over when the items were collected; the run's record keeps them.

    Several processes may make the same call on one folder, on one machine or many: each measures what no other has,
    and waits at the end for what others have begun. `spread` gives this one a part of the work. A clip at which three
    processes die is a row that says so. A run may be a URL (`mmbench.runs.mirror`): the work is done in a copy
    of it here, which brings what is new there.

    Raises ManifestError for an item that cannot be one, WeightsError or MMBenchError when there is no such file or
    device, ReferenceFaceError, before any clip, for a reference without a face, MachineFault when the disk or the
    memory is full, BusyFolder while another evaluation, of other clips or settings, is at work in `run`.

        >>> import mmbench
        >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
        >>> settings = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})
        >>> still = [item for item in items if item.model == "still"][:2]
        >>> result = mmbench.evaluate(still, Path("runs/still"), settings)
        >>> [row.score("motion_smoothness").value for row in result.rows]
        [0.0, 0.0]
    """
    settings, spread = settings or EvaluateSettings(), spread or Spread()
    _check(items, settings)
    try:
        with mirrored(run) as here:
            given = [_absolute(placed(item, here)) for item in items]
            asked = digest_of([settings.model_dump(mode="json"), list(map(item_json, given))])
            with joined(here, asked) as session:
                kept = RowIndex.read(here)
                with session.claims.only(RECORD):
                    work = _Evaluation(session, given, settings, notes, kept)
                    work.begin(spread.shard)
                return work.go(workers, retry, spread, progress or silent)
    except Exception as cause:
        machine = machine_fault(cause)
        if machine is None or machine is cause:
            raise
        raise machine from cause


class _Evaluation:
    """One command's work on a run. It is made, and ends, while no other process does so: the record is everybody's."""

    def __init__(
        self,
        session: Joined,
        given: list[Item],
        settings: EvaluateSettings,
        notes: Sequence[str],
        kept: RowIndex,
    ) -> None:
        self._session, self._run, self._kept = session, session.run, kept
        kept.refresh()
        before = self._before()
        self._notes: list[str] = []
        recorded = _recorded_metrics(before, self._kept)
        everything = not settings.metrics or recorded == ()
        named = settings.model_copy(update={"metrics": ()}) if everything else settings
        self._metrics = make_metrics(named, recorded or ())
        self._settings = settings.model_copy(update={"metrics": tuple(self._metrics)})
        asked = (
            ()
            if everything
            else tuple(in_order((*settings.metrics, *(n for n in recorded or () if n in self._metrics))))
        )
        self._given = frozenset(item.id for item in given)
        parts = self._parts(before, given)
        self._items = [item for part in parts for item in part]
        self._notes += _changes(before.get("settings"), settings)
        kept_settings = settings.model_copy(update={"metrics": asked})
        self._facts = attempt_facts(notes)
        self._manifest = RunManifest(
            kept_settings,
            tuple(self._items),
            kept_settings.digest(),
            attempts=tuple(before.get("attempts", ())),
            parts=tuple(map(len, parts)),
        )

    def begin(self, shard: Shard) -> None:
        """Get this command's number, and write down that it has begun."""
        self._attempt = self._session.begin()
        facts = {**self._facts, "attempt": self._attempt, **({"shard": str(shard)} if shard.count > 1 else {})}
        self._manifest = replace(self._manifest, attempts=(*self._manifest.attempts, facts))
        self._manifest.save(self._run)

    def _before(self) -> dict[str, Any]:
        """The record of earlier commands. Raises ManifestError for a file that is none, unless rows say it was one."""
        if (self._run / ROWS).is_dir():
            return read_record(self._run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = read_record(self._run)
        if not record and (self._run / MANIFEST).exists():
            raise ManifestError(f"{self._run / MANIFEST}: is no record of a run.", "Evaluate into another folder.")
        return record

    def go(self, workers: int, retry: bool, spread: Spread, progress: Progress) -> EvaluateResult:
        """Plan, measure, score."""
        people = [item for item in self._items if item.id in self._given or all(map(is_file, item.references))]
        inputs = Inputs(self._settings, self._metrics, people)
        plan = make_plan(self._run, self._items, self._given, self._metrics, inputs, self._kept, retry)
        wanted = {
            name: self._metrics[name] for name in dict.fromkeys(name for task in plan.tasks for name in task.todo)
        }
        gatherer = Gatherer(self._settings, wanted.values(), people, self._run)
        if plan.tasks:  # else no network is wanted for anything
            with self._session.claims.only("references"):  # by the first one that comes; the others find them there
                gatherer.prepare(progress)
            self._notes += gatherer.notes()
        (self._run / ROWS).mkdir(parents=True, exist_ok=True)
        errand = Errand(self._settings, gatherer, self._attempt, self._kept.seen())
        tasks = [*plan.tasks, *self._keep(plan)]
        measured = self._measure(tasks, errand, workers, spread, progress)
        with self._session.claims.only(RECORD):
            return self._finish(plan, measured, retry)

    def _keep(self, plan: EvaluatePlan) -> list[Task]:
        """Write the rows that need no measuring; the tasks of those whose clips another process has at the moment."""
        taken: list[Task] = []
        claims = self._session.claims
        with claims.only("(kept)"), RowWriter(self._run, f"{self._attempt:04d}-kept") as writer:
            self._kept.refresh()
            for one in plan.rows:
                row = composed(one, self._metrics) if isinstance(one, Task) else one
                if self._is_so(row):
                    continue
                # Even where no other command is at work: the workers of a killed one end the clips they have begun.
                if (claim := claims.take(row.item.id)) is None:
                    taken += [one] if isinstance(one, Task) else []
                    continue
                self._kept.refresh()  # whoever had the claim until now may have written just this row
                if not self._is_so(row):
                    writer.add(row)
                claims.done(claim)
        return taken

    def _is_so(self, row: ItemRow) -> bool:
        """Whether the run says this already: it was so before, or another process wrote it meanwhile."""
        brief = self._kept.briefs.get(row.item.id)
        return brief is not None and same_as(brief, row)

    def _measure(
        self, tasks: Sequence[Task], errand: Errand, workers: int, spread: Spread, progress: Progress
    ) -> frozenset[str]:
        """Measure this process's share; ids of what it measured itself. At the end all of its part is measured."""
        mine = spread.shard.of(tasks, lambda task: task.item.id)
        total, done = len(self._items), len(self._items) - len(mine)
        measured: set[str] = set()
        progress(done, total, "clips")

        def on_row(row: ItemRow) -> None:
            measured.add(row.item.id)
            progress(done + len(measured), total, "clips")

        left = self._session.turned(mine)
        for turn in count():
            claims = self._session.claims
            if spread.cluster is None:
                work(left, errand, claims, workers=workers, turn=turn, on_row=on_row)
            elif left:
                work_on_cluster(left, errand, claims, spread.cluster, turn=turn, on_row=on_row)
            left = self._left([task for task in left if task.item.id not in measured])
            while left and not any(self._session.claims.free(task.item.id) for task in left):
                sleep(POLL_SECONDS)  # others are at them
                left = self._left(left)
                progress(total - len(left), total, "clips")
            if not left:
                return frozenset(measured)
        raise AssertionError

    def _left(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of which no row says what doing them would give."""
        if tasks:
            self._kept.refresh()
        briefs = self._kept.briefs
        return [
            task
            for task in tasks
            if not (brief := briefs.get(task.item.id)) or not answers(task, brief, self._metrics, self._run)
        ]

    def _finish(self, plan: EvaluatePlan, measured: frozenset[str], retry: bool) -> EvaluateResult:
        """The sets, and the record as it is now."""
        self._kept.refresh()
        left = self._left([task for task in plan.tasks if task.item.id not in measured])
        unfinished = {task.item.model for task in left}
        briefs = self._kept.briefs
        now = [ItemRow(item, clip=briefs[item.id].clip) for item in self._items if item.id in briefs]
        fresh = {row.item.model for row in now} if retry else {task.item.model for task in plan.tasks}
        scorer = SetScorer(self._run, self._metrics, plan.parts, self._kept.sets, fresh)
        sets = scorer.score([row for row in now if row.item.model not in unfinished])
        if changed := [row for row in sets if row != self._kept.sets.get(row.model)]:
            # Behind all that others wrote: of the processes that end, the last one has seen every clip.
            with RowWriter(self._run, f"{next_attempt(self._run, self._session.attempts()):04d}-sets") as writer:
                for row in changed:
                    writer.add(row)
        self._notes += plan.notes
        self._save(now)
        of_given = [row.item for row in now if row.item.id in self._given]
        models = {item.model for item in of_given}
        return EvaluateResult(
            self._run,
            tuple(item.id for item in of_given),
            tuple(row for row in sets if row.model in models),
            len(measured),
            tuple(self._notes),
            sum(task.item.id in self._given for task in left),
            self._kept,
        )

    def _save(self, now: Sequence[ItemRow]) -> None:
        """Write the record with what this command has to say; others may have added their own since it began."""
        attempts = read_record(self._run).get("attempts") or list(self._manifest.attempts)
        for number, one in enumerate(attempts):
            if (one.get("attempt"), one.get("started")) == (self._attempt, self._facts["started"]):
                attempts[number] = {**one, "notes": [*one["notes"], *self._notes]}
        weights = {name: sha for row in now for name, sha in self._kept.briefs[row.item.id].weights}
        replace(self._manifest, weights=dict(sorted(weights.items())), attempts=tuple(attempts)).save(self._run)

    def _parts(self, before: dict[str, Any], given: list[Item]) -> list[list[Item]]:
        """The run's items, those of one command together: earlier commands', but for those that this one edits."""
        parts = recorded_items(before)
        if not before and self._kept.briefs:
            parts = [[row.item for row in self._kept.rows(self._kept.briefs)]]
        stay = [part for part in parts if not any(item.id in self._given for item in part)]
        if left := sum(item.id not in self._given for part in parts if part not in stay for item in part):
            self._notes.append(f"{left} clips that this run held are not named any more: they are left out of it.")
        if stay:
            self._notes.append(f"{sum(map(len, stay))} clips of earlier commands stay in this run.")
        return [*stay, given]


def _check(items: Sequence[Item], settings: EvaluateSettings) -> None:
    """Raise for items and settings that cannot be, before anything is written."""
    for item in items:
        if item.fps is not None and not (math.isfinite(item.fps) and item.fps > 0):
            said = f"{item.id}: fps must be a positive number, got {item.fps}."
            raise ManifestError(said, "Correct it in the manifest.")
    if not items:
        raise ManifestError("There is nothing to evaluate.", "Give at least one video.")
    check_devices(settings)
    forget()
    check_storages(path for item in items for path in (item.video, *item.references, *filter(None, [item.condition])))
    if settings.flow.weights and not settings.flow.weights.is_file():
        raise WeightsError(f"flow.weights: there is no file {settings.flow.weights}.", "Correct the path.")
    make_metrics(settings)


def _absolute(item: Item) -> Item:
    """The item with absolute paths."""
    return replace(
        item,
        video=item.video.absolute(),
        references=tuple(path.absolute() for path in item.references),
        shown=tuple(path.absolute() for path in item.shown),
        condition=item.condition.absolute() if item.condition else None,
    )


def _recorded_metrics(record: dict[str, Any], kept: RowIndex) -> tuple[str, ...] | None:
    """The metrics that earlier commands asked for, () for all that are installed, None where nobody asked yet.

    Without a record the rows tell: whatever stands in the newest of them.
    """
    if isinstance(settings := record.get("settings"), dict):
        return tuple(settings.get("metrics", ()))
    named = {name for brief in kept.briefs.values() for name in brief.names}
    found = set()
    for name in named | {score.metric for row in kept.sets.values() for score in row.scores}:
        with suppress(MMBenchError):  # of a package that is gone
            found.add(producer(name))
    return tuple(in_order(found)) or None


def _changes(before: Any, settings: EvaluateSettings) -> list[str]:
    """What is to be told of other settings than the last command's."""
    if not isinstance(before, dict):
        return []
    now = settings.model_dump(mode="json", exclude={"metrics"})
    changed = _changed(before, now)
    return [f"Other settings than before: {changed}. What depends on them is measured again."] if changed else []


def _changed(old: dict[str, Any], new: dict[str, Any], within: str = "") -> str:
    """The settings that differ: "flow.backend was raft, now dis"."""
    parts = []
    for name in new:
        if name not in old:  # a setting that an older version did not know
            continue
        if isinstance(new[name], dict):
            parts.append(_changed(old[name], new[name], f"{within}{name}."))
        elif old[name] != new[name]:
            parts.append(f"{within}{name} was {old[name]}, now {new[name]}")
    return ", ".join(part for part in parts if part)


def default_workers(settings: EvaluateSettings | None = None) -> int:
    """One a core, since the face pass is single-threaded; on a GPU no more than its free memory holds.

    Every process has its own networks there: what the needs of the settings' metrics say they take, and 2 GiB for the
    weights of all and CUDA itself; this one, which looks at the references, takes another 2 GiB. Raises MMBenchError
    when there is no such device.
    """
    cores = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    chosen = settings or EvaluateSettings()
    if chosen.device == "cpu":
        return cores
    found = torch_device(chosen.device)
    if found.type != "cuda":
        return cores
    import torch

    return workers_in(torch.cuda.mem_get_info(found)[0], cores, gpu_bytes(chosen))


def gpu_bytes(settings: EvaluateSettings) -> int:
    """What the networks of one process take of a GPU beside their weights, at most."""
    found: dict[type[object], int] = {}  # needs of one class look through one network
    for need in (need for metric in make_metrics(settings).values() for need in metric.needs):
        if isinstance(need, FrameNeed):
            found[type(need)] = max(found.get(type(need), 0), need.gpu_bytes(settings))
    return sum(found.values())


def workers_in(free: int, cores: int, networks: int) -> int:
    """Processes for a GPU with `free` bytes, each with `networks` bytes: at least one, at most one a core."""
    own = 2 * 2**30
    return max(1, min(cores, (free - own) // (networks + own)))
