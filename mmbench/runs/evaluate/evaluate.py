"""Evaluate: plan what is left to do, measure it, score the sets, say how it went."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.engine.alone import alone
from mmbench.errors import ManifestError, MMBenchError, WeightsError, machine_fault
from mmbench.files import Progress, is_file, silent
from mmbench.items import Item
from mmbench.metrics.base import FrameNeed
from mmbench.metrics.registry import in_order, producer
from mmbench.runs.evaluate.clip import Task, make_metrics
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.inputs import Inputs
from mmbench.runs.evaluate.plan import EvaluatePlan, Kept, make_plan
from mmbench.runs.evaluate.record import MANIFEST, RunManifest, attempt_facts, read_record, recorded_items
from mmbench.runs.evaluate.rows import ItemRow, Lacking, SetRow, lacking
from mmbench.runs.evaluate.sets import SetScorer
from mmbench.runs.evaluate.store import ROWS, RowWriter, next_attempt
from mmbench.runs.evaluate.work import work
from mmbench.runs.inputs.pictures import placed
from mmbench.score import Score


@dataclass(frozen=True)
class EvaluateResult:
    """What a run holds now of the items that were asked for, and of their models' sets.

    `failed` items could not be measured at all; `errors` names the scores that failed. `measured_now` counts the items
    of the run of which something was measured, `notes` tell what else became of what was there before.
    """

    run: Path
    rows: tuple[ItemRow, ...]
    sets: tuple[SetRow, ...]
    measured_now: int
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[ItemRow, ...]:
        """Items without any number, because the clip itself was unusable."""
        return tuple(row for row in self.rows if row.error)

    @property
    def errors(self) -> tuple[tuple[str, Score], ...]:
        """(item id, or model of a set, score) of every score that failed."""
        clips = [(row.item.id, s) for row in self.rows for s in row.scores]
        sets = [(row.model, s) for row in self.sets for s in row.scores]
        return tuple((name, s) for name, s in clips + sets if s.status == "error")

    @property
    def lacking(self) -> tuple[tuple[str, Lacking], ...]:
        """("clip" or "model", what they lack) of all missing scores, by what would mend them."""
        clips = [("clip", one) for one in lacking(row.scores for row in self.rows)]
        return (*clips, *(("model", one) for one in lacking(row.scores for row in self.sets)))

    @property
    def worth_a_retry(self) -> bool:
        """True when something failed before, or lacked what may be here by now, and was not tried again."""
        scores = [score for row in self.rows for score in row.scores]
        scores += [score for row in self.sets for score in row.scores]
        unmet = any(score.unmet for score in scores)
        return self.measured_now < len(self.rows) and bool(self.failed or self.errors or unmet)

    @property
    def complete(self) -> bool:
        """True when every clip was measured and no metric failed."""
        return not self.failed and not self.errors


def evaluate(
    items: Sequence[Item],
    run: Path | str,
    settings: EvaluateSettings | None = None,
    *,
    workers: int = 1,
    retry: bool = False,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> EvaluateResult:
    """Measure what `run` does not hold yet of every item, and score each model's set.

    A number holds while everything it was made of does: the video, references, the run's people, prompt, rate,
    settings, weights, the metric's version. What has changed is measured again, and nothing else; so the rows of a run
    are those of a fresh one on the same items, whatever came before. Items that share no id with an earlier command's
    join its items; else they take their place. Metrics of earlier commands stay the run's. With `retry` failures
    are tried again. `notes` say what was passed over when the items were collected; the run's record keeps them.

    Raises ManifestError for an item that cannot be one, WeightsError or MMBenchError when there is no such file or
    device, ReferenceFaceError, before any clip, for a reference without a face, MachineFault when the disk or the
    memory is full, BusyFolder while another evaluation is at work in `run`.

        >>> import mmbench
        >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
        >>> settings = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})
        >>> still = [item for item in items if item.model == "still"][:2]
        >>> result = mmbench.evaluate(still, Path("runs/still"), settings)
        >>> [row.score("motion_smoothness").value for row in result.rows]
        [0.0, 0.0]
    """
    settings = settings or EvaluateSettings()
    for item in items:
        _check_rate(item)
    if not items:
        raise ManifestError("There is nothing to evaluate.", "Give at least one video.")
    _check_device(settings.device)
    if settings.flow.weights and not settings.flow.weights.is_file():
        raise WeightsError(f"flow.weights: there is no file {settings.flow.weights}.", "Correct the path.")
    make_metrics(settings)  # raises before anything is written
    try:
        with alone(Path(run), "an evaluation"):
            given = [_absolute(placed(item, Path(run))) for item in items]
            return _Evaluation(Path(run), given, settings, notes, progress or silent).go(workers, retry)
    except Exception as cause:
        machine = machine_fault(cause)
        if machine is None or machine is cause:
            raise
        raise machine from cause


class _Evaluation:
    """One command's work on a run."""

    def __init__(
        self, run: Path, given: list[Item], settings: EvaluateSettings, notes: Sequence[str], progress: Progress
    ) -> None:
        self._run, self._tell = run, progress
        self._kept = Kept.read(run)
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
        self._manifest = RunManifest(
            kept_settings,
            tuple(self._items),
            kept_settings.digest(),
            attempts=(*before.get("attempts", ()), attempt_facts(notes)),
            parts=tuple(map(len, parts)),
        )

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

    def go(self, workers: int, retry: bool) -> EvaluateResult:
        """Plan, measure, score."""
        self._manifest.save(self._run)
        people = [item for item in self._items if item.id in self._given or all(map(is_file, item.references))]
        inputs = Inputs(self._settings, self._metrics, people)
        plan = make_plan(self._run, self._items, self._given, self._metrics, inputs, self._kept, retry)
        wanted = {
            name: self._metrics[name] for name in dict.fromkeys(name for task in plan.tasks for name in task.todo)
        }
        gatherer = Gatherer(self._settings, wanted.values(), people, self._run)
        if plan.tasks:  # else no network is wanted for anything
            gatherer.prepare(self._tell)
            self._notes += gatherer.notes()
        rows = dict(self._kept.rows)
        attempt = next_attempt(self._run)
        (self._run / ROWS).mkdir(parents=True, exist_ok=True)
        with RowWriter(self._run, f"{attempt:04d}-kept") as writer:
            for row in plan.rows:
                writer.add(row)
                rows[row.item.id] = row
        self._measure(plan.tasks, gatherer, workers, attempt, rows)
        return self._finish(plan, rows, attempt, retry)

    def _measure(
        self, tasks: Sequence[Task], gatherer: Gatherer, workers: int, attempt: int, rows: dict[str, ItemRow]
    ) -> None:
        total, done = len(self._items), len(self._items) - len(tasks)
        self._tell(done, total, "clips")

        def on_row(row: ItemRow) -> None:
            nonlocal done
            rows[row.item.id] = row
            done += 1
            self._tell(done, total, "clips")

        work(tasks, self._settings, gatherer, workers=workers, attempt=attempt, on_row=on_row)

    def _finish(self, plan: EvaluatePlan, rows: dict[str, ItemRow], attempt: int, retry: bool) -> EvaluateResult:
        """The sets, and the record as it is now."""
        now = [rows[item.id] for item in self._items if item.id in rows]
        fresh = {row.item.model for row in now} if retry else {task.item.model for task in plan.tasks}
        sets = SetScorer(self._run, self._metrics, plan.parts, self._kept.sets, fresh).score(now)
        with RowWriter(self._run, f"{attempt:04d}-sets") as writer:
            for row in sets:
                if row != self._kept.sets.get(row.model):
                    writer.add(row)
        self._notes += plan.notes
        last = self._manifest.attempts[-1]
        attempts = (*self._manifest.attempts[:-1], {**last, "notes": [*last["notes"], *self._notes]})
        replace(self._manifest, weights=_weights(now), attempts=attempts).save(self._run)
        of_given = [row for row in now if row.item.id in self._given]
        models = {row.item.model for row in of_given}
        shown = tuple(row for row in sets if row.model in models)
        return EvaluateResult(self._run, tuple(of_given), shown, len(plan.tasks), tuple(self._notes))

    def _parts(self, before: dict[str, Any], given: list[Item]) -> list[list[Item]]:
        """The run's items, those of one command together: earlier commands', but for those that this one edits."""
        parts = recorded_items(before)
        if not before and self._kept.rows:
            parts = [[row.item for row in self._kept.rows.values()]]
        stay = [part for part in parts if not any(item.id in self._given for item in part)]
        if left := sum(item.id not in self._given for part in parts if part not in stay for item in part):
            self._notes.append(f"{left} clips that this run held are not named any more: they are left out of it.")
        if stay:
            self._notes.append(f"{sum(map(len, stay))} clips of earlier commands stay in this run.")
        return [*stay, given]


def _check_rate(item: Item) -> None:
    """Raise ManifestError for a rate that is none."""
    if item.fps is not None and not (math.isfinite(item.fps) and item.fps > 0):
        raise ManifestError(f"{item.id}: fps must be a positive number, got {item.fps}.", "Correct it in the manifest.")


def _absolute(item: Item) -> Item:
    """The item with absolute paths."""
    return replace(
        item,
        video=item.video.absolute(),
        references=tuple(path.absolute() for path in item.references),
        shown=tuple(path.absolute() for path in item.shown),
        condition=item.condition.absolute() if item.condition else None,
    )


def _recorded_metrics(record: dict[str, Any], kept: Kept) -> tuple[str, ...] | None:
    """The metrics that earlier commands asked for, () for all that are installed, None where nobody asked yet.

    Without a record the rows tell: whatever stands in the newest of them.
    """
    if isinstance(settings := record.get("settings"), dict):
        return tuple(settings.get("metrics", ()))
    rows: list[ItemRow | SetRow] = [*kept.rows.values(), *kept.sets.values()]
    found = set()
    for name in {score.metric for row in rows for score in row.scores}:
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


def _check_device(name: str) -> None:
    if name != "cpu":  # the processor is always there, and torch need not be imported to say so
        from mmbench.device import torch_device

        torch_device(name)


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


def _weights(rows: Sequence[ItemRow]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        for score in row.scores:
            if score.provenance:
                found.update(score.provenance.weights)
    return dict(sorted(found.items()))


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
    from mmbench.device import torch_device

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
