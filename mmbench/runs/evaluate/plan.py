"""What is left to do: which of a run's numbers still hold, and which are to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric, Metric, SetMetric, StoredFeatures
from mmbench.runs.evaluate.clip import Task, together, unmade
from mmbench.runs.evaluate.digests import Digests
from mmbench.runs.evaluate.features import features_path, read_features
from mmbench.runs.evaluate.index import Brief, RowIndex, item_digest, same_as
from mmbench.runs.evaluate.inputs import Inputs, clip_key, derived_key, score_key
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.score import Score


@dataclass
class EvaluatePlan:
    """Tasks, rows that need no measuring but say something else than before, and what of it is worth telling.

    `spare` tasks give these rows too, for where another process has such a clip at the moment.
    """

    tasks: list[Task] = field(default_factory=list)
    rows: list[ItemRow] = field(default_factory=list)
    spare: dict[str, Task] = field(default_factory=dict)
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
    plan = EvaluatePlan()
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
        held, todo = _holding(run, item, parts, digest, metrics, kept, retry)
        key = clip_key(item, digest, inputs.limits)
        clip, error = kept.clips.get(key), kept.errors.get(key)
        if error is not None and not retry and (todo or clip is None):
            _take(plan, brief, ItemRow(item, error=error))
        elif todo or clip is None:
            plan.older += brief is not None and not brief.says_of_what
            found = {name: kept.scores_of(made) for name, made in held.items()}
            plan.tasks.append(Task(item, parts, tuple(todo), digest, found, clip, inputs.limits))
        elif brief is None or brief.clip != clip or not _as_it_was(brief, item, held, metrics, parts):
            found = {name: kept.scores_of(made) for name, made in held.items()}
            _take(plan, brief, ItemRow(item, together(item, found, metrics, parts), clip))
            plan.spare[item.id] = Task(item, parts, (), digest, found, clip, inputs.limits)
    digests.keep()
    return plan


def _holding(
    run: Path,
    item: Item,
    parts: Mapping[str, str],
    digest: str,
    metrics: Mapping[str, Metric],
    kept: RowIndex,
    retry: bool,
) -> tuple[dict[str, str], list[str]]:
    """What the scores that hold were made of, by metric, and the metrics to be measured."""
    found: dict[str, str] = {}
    todo = []
    for name, metric in metrics.items():
        if isinstance(metric, DerivedMetric):
            continue
        if isinstance(metric, SetMetric):
            path = features_path(run, metric.facts.name, score_key(parts[name], digest))
            holds = path.is_file() and (not retry or isinstance(read_features(path, item), StoredFeatures))
        elif holds := bool(kept.scores):  # else a key need not be made to know that nothing has it
            key = score_key(parts[name], digest)
            holds = key in kept.scores and not (retry and key in kept.failed)
            found.update({name: key} if holds else {})
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


def _as_it_was(
    brief: Brief, item: Item, held: Mapping[str, str], metrics: Mapping[str, Metric], parts: Mapping[str, str]
) -> bool:
    """Whether a row says what it would say now, told without reading it."""
    if brief.error is not None or brief.item != item_digest(ItemRow(item).to_json()["item"]):
        return False
    said = list(zip(brief.names, brief.inputs, strict=True))
    keys = [held[name] for name in metrics if name in held]
    now = [(score, made) for key in keys for score, made in said if made == key]
    of_clip = dict(now)
    for name, metric in metrics.items():
        if isinstance(metric, DerivedMetric):
            key = derived_key(parts[name], metric, of_clip)
            now += [(score, made) for score, made in said if made == key]
    return now == said


def _take(plan: EvaluatePlan, before: Brief | None, now: ItemRow) -> None:
    """Note a row that differs from the one before."""
    if before is None or not same_as(before, now):
        plan.rows.append(now)
