"""What is left to do: which of a run's numbers still hold, and which are to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric, Metric, SetMetric, StoredFeatures
from mmbench.runs.evaluate.clip import Task, unmade
from mmbench.runs.evaluate.digests import Digests
from mmbench.runs.evaluate.features import features_path, read_features
from mmbench.runs.evaluate.index import Brief, RowIndex, item_digest, same_as
from mmbench.runs.evaluate.inputs import Inputs, clip_key, derived_key, score_key
from mmbench.runs.evaluate.rows import ItemRow, item_dict
from mmbench.scores import Score


@dataclass
class EvaluatePlan:
    """Tasks, rows that need no measuring but say something else than before, and what of it is worth telling.

    `rows` are whole where they are short, else tasks with nothing to do: they are put together one at a time.
    """

    tasks: list[Task] = field(default_factory=list)
    rows: list[ItemRow | Task] = field(default_factory=list)
    parts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    older: int = 0
    gone: int = 0

    @property
    def notes(self) -> list[str]:
        """In whole sentences."""
        told = []
        if self.older:
            told.append(f"{self.older} rows of an older version do not say what they were made of: measured again.")
        if self.gone:
            told.append(f"{self.gone} clips of this run are gone: their rows stay as they were measured.")
        return told


def make_plan(
    run: Path,
    items: Sequence[Item],
    given: frozenset[str],
    metrics: Mapping[str, Metric],
    inputs: Inputs,
    kept: RowIndex,
    retry: bool,
) -> EvaluatePlan:
    """What is to be done so that the rows of `items` are those of a fresh run. `given` are the ids that this command
    names: clips of earlier ones that are gone keep their rows. With `retry` failures are tried again."""
    plan, by_kind = EvaluatePlan(), _ByKind.of(metrics)
    digests = Digests(run, kept)
    for item in items:
        brief = kept.briefs.get(item.id)
        parts = plan.parts[item.id] = inputs.parts(item)
        if failed := unmade(item):
            _take(plan, brief, failed)
            continue
        digest = digests.of(item.video)
        if not digest and brief is not None and brief.clip is not None:
            plan.gone += 1
            if item.id not in given:
                continue
            digest = brief.clip.sha256
        held, todo = _holding(run, item, parts, digest, by_kind, kept, retry)
        key = clip_key(item, digest, inputs.limits)
        clip, error = kept.clips.get(key), kept.errors.get(key)
        if error is not None and not retry and (todo or clip is None):
            _take(plan, brief, ItemRow(item, error=error))
            continue
        there = not todo and clip is not None and brief is not None and brief.clip == clip
        if there and brief is not None and _as_it_was(brief, item, held, by_kind, parts):
            continue
        sources = {name: kept.source(made) for name, made in held.items()}
        task = Task(item, parts, tuple(todo), digest, sources, clip, inputs.limits)
        if todo or clip is None:
            plan.older += brief is not None and not brief.says_of_what
            plan.tasks.append(task)
        else:
            plan.rows.append(task)
    digests.keep()
    return plan


@dataclass(frozen=True)
class _ByKind:
    """A run's metrics by what they are scored from, in order: told once, not once a clip."""

    every: Sequence[str]
    clip: frozenset[str]
    derived: Mapping[str, DerivedMetric]

    @classmethod
    def of(cls, metrics: Mapping[str, Metric]) -> _ByKind:
        derived = {name: metric for name, metric in metrics.items() if isinstance(metric, DerivedMetric)}
        every = [name for name in metrics if name not in derived]
        return cls(every, frozenset(n for n in every if not isinstance(metrics[n], SetMetric)), derived)


def _holding(
    run: Path,
    item: Item,
    parts: Mapping[str, str],
    digest: str,
    metrics: _ByKind,
    kept: RowIndex,
    retry: bool,
) -> tuple[dict[str, str], list[str]]:
    """What the scores that hold were made of, by metric, and the metrics to be measured."""
    found: dict[str, str] = {}
    todo = []
    if not digest and not kept.scores:  # nothing was measured yet
        return found, list(metrics.every)
    for name in metrics.every:
        key = score_key(parts[name], digest)
        if name in metrics.clip:
            holds = key in kept.scores and not (retry and key in kept.failed)
            found.update({name: key} if holds else {})
        else:
            path = features_path(run, name, key)
            holds = path.is_file() and (not retry or isinstance(read_features(path, item), StoredFeatures))
        if not holds:
            todo.append(name)
    return found, todo


def answers(task: Task, brief: Brief, metrics: Mapping[str, Metric], run: Path) -> bool:
    """Whether a row is what doing `task` would give, whoever did it."""
    if brief.error is not None:
        return brief.error.inputs == clip_key(task.item, brief.error.file_sha256, task.limits)
    if brief.clip is None:
        return False
    made = set(brief.inputs)
    for name in task.todo:
        key, metric = score_key(task.parts[name], brief.clip.sha256), metrics[name]
        if isinstance(metric, SetMetric):
            if not features_path(run, metric.facts.name, key).is_file():
                return False
        elif key not in made:
            return False
    return brief.clip.inputs == clip_key(task.item, brief.clip.sha256, task.limits)


def failed(score: Score) -> bool:
    """Whether it is worth measuring again as it is: something broke, or this machine lacked something."""
    return score.status == "error" or score.unmet


def _as_it_was(brief: Brief, item: Item, held: Mapping[str, str], metrics: _ByKind, parts: Mapping[str, str]) -> bool:
    """Whether a row says what it would say now, told without reading it."""
    if brief.error is not None or brief.item != item_digest(item_dict(item)):
        return False
    said = list(zip(brief.names, brief.inputs, strict=True))
    now = [(score, made) for name in metrics.every if name in held for score, made in said if made == held[name]]
    of_clip = dict(now)
    for name, metric in metrics.derived.items():
        key = derived_key(parts[name], metric, of_clip)
        now += [(score, made) for score, made in said if made == key]
    return now == said


def _take(plan: EvaluatePlan, before: Brief | None, now: ItemRow) -> None:
    """Note a row that differs from the one before."""
    if before is None or not same_as(before, now):
        plan.rows.append(now)
