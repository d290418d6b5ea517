"""What is left to do: which of a run's numbers still hold, and which are to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric, Metric, SetMetric, StoredFeatures
from mmbench.runs.evaluate.clip import Task, file_digest, together, unmade
from mmbench.runs.evaluate.features import features_path, read_features
from mmbench.runs.evaluate.inputs import Inputs, clip_key, score_key
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError, SetRow
from mmbench.runs.evaluate.store import ROWS, all_rows
from mmbench.score import Score


@dataclass
class Kept:
    """All that was ever measured in a run: the newest rows by item and model, and everything by what it was made of.

    So a number that held before an edit holds again when the edit is taken back.
    """

    rows: dict[str, ItemRow] = field(default_factory=dict)
    sets: dict[str, SetRow] = field(default_factory=dict)
    scores: dict[str, tuple[Score, ...]] = field(default_factory=dict)
    clips: dict[str, MeasuredFile] = field(default_factory=dict)
    errors: dict[str, RowError] = field(default_factory=dict)

    @classmethod
    def read(cls, run: Path) -> Kept:
        """What the rows of a run say. Raises ManifestError for a damaged line."""
        kept = cls()
        for row in all_rows(run) if (run / ROWS).is_dir() else ():
            if isinstance(row, SetRow):
                kept.sets[row.model] = row
                continue
            kept.rows[row.item.id] = row
            alike: dict[str, list[Score]] = {}
            for score in row.scores:
                alike.setdefault(score.inputs, []).append(score)
            kept.scores.update({key: tuple(scores) for key, scores in alike.items() if key})
            if row.clip and row.clip.inputs:
                kept.clips[row.clip.inputs] = row.clip
            if row.error and row.error.inputs:
                kept.errors[row.error.inputs] = row.error
        return kept


@dataclass
class EvaluatePlan:
    """Tasks, rows that need no measuring but say something else than before, and what of it is worth telling."""

    tasks: list[Task] = field(default_factory=list)
    rows: list[ItemRow] = field(default_factory=list)
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
    kept: Kept,
    retry: bool,
) -> EvaluatePlan:
    """What is to be done so that the rows of `items` are those of a fresh run. `given` are the ids that this command
    names: clips of earlier ones that are gone keep their rows. With `retry` failures are tried again."""
    plan = EvaluatePlan()
    for item in items:
        row = kept.rows.get(item.id)
        parts = plan.parts[item.id] = inputs.parts(item)
        if failed := unmade(item):
            _take(plan, row, failed)
            continue
        digest = file_digest(item.video)
        if not digest and row is not None and row.clip is not None:
            plan.gone += 1
            if item.id not in given:
                continue
            digest = row.clip.sha256
        found, todo = _holding(run, item, parts, digest, metrics, kept, retry)
        key = clip_key(item, digest, inputs.limits)
        clip, error = kept.clips.get(key), kept.errors.get(key)
        if error is not None and not retry and (todo or clip is None):
            _take(plan, row, ItemRow(item, error=error))
        elif todo or clip is None:
            plan.older += row is not None and not _says_of_what(row)
            plan.tasks.append(Task(item, parts, tuple(todo), digest, found, clip, inputs.limits))
        else:
            _take(plan, row, ItemRow(item, together(item, found, metrics, parts), clip))
    return plan


def _holding(
    run: Path,
    item: Item,
    parts: Mapping[str, str],
    digest: str,
    metrics: Mapping[str, Metric],
    kept: Kept,
    retry: bool,
) -> tuple[dict[str, tuple[Score, ...]], list[str]]:
    """Scores that hold, by metric, and the metrics to be measured."""
    found: dict[str, tuple[Score, ...]] = {}
    todo = []
    for name, metric in metrics.items():
        if isinstance(metric, DerivedMetric):
            continue
        key = score_key(parts[name], digest)
        if isinstance(metric, SetMetric):
            path = features_path(run, metric.facts.name, key)
            holds = path.is_file() and (not retry or isinstance(read_features(path, item), StoredFeatures))
        else:
            scores = kept.scores.get(key, ())
            holds = bool(scores) and not (retry and any(failed(score) for score in scores))
            found.update({name: scores} if holds else {})
        if not holds:
            todo.append(name)
    return found, todo


def failed(score: Score) -> bool:
    """Whether it is worth measuring again as it is: something broke, or this machine lacked something."""
    return score.status == "error" or score.unmet


def _take(plan: EvaluatePlan, before: ItemRow | None, now: ItemRow) -> None:
    """Note a row that differs from the one before."""

    def said(row: ItemRow) -> object:
        return row.item, row.error, row.clip, [(score.metric, score.inputs) for score in row.scores]

    if before is None or said(before) != said(now):
        plan.rows.append(now)


def _says_of_what(row: ItemRow) -> bool:
    made = row.error.inputs if row.error else row.clip.inputs if row.clip else ""
    return bool(made)
