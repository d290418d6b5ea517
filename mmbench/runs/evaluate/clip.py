"""One item to one row: gather the evidence in one decode, then let every metric read it."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.device import torch_as_started
from mmbench.errors import MMBenchError, PlugInError, RemoteError, machine_fault
from mmbench.items import Item
from mmbench.metrics.base import ClipMetric, DerivedMetric, Evidence, Metric, Need, SetMetric
from mmbench.metrics.registry import broken_plug_ins, in_order, metric_class, metric_names, producer
from mmbench.runs.evaluate.fault import fault
from mmbench.runs.evaluate.features import NoFeatures, features_path, write_features
from mmbench.runs.evaluate.gather import UNAVAILABLE, Gatherer, Unmet
from mmbench.runs.evaluate.index import RowSource, scores_at
from mmbench.runs.evaluate.inputs import clip_key, derived_key, score_key
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError
from mmbench.scores import Score


@dataclass(frozen=True)
class Task:
    """What is left to do for one item: the metrics `todo`. `kept` says where those of the others lie that still hold.

    `parts` are `Inputs.parts` of the item, `sha256` is of the video they were looked up for, `clip` what is known of
    it; `limits` are `Inputs.limits`. Should another file have come into its place by then, all is measured.
    """

    item: Item
    parts: Mapping[str, str]
    todo: tuple[str, ...]
    sha256: str = ""
    kept: Mapping[str, RowSource] = field(default_factory=dict)
    clip: MeasuredFile | None = None
    limits: str = ""


def make_metrics(settings: EvaluateSettings, recorded: Collection[str] = ()) -> dict[str, Metric]:
    """Instances of the metrics a run asks for, by name, in column order, with what derived metrics are made of.

    Raises MMBenchError for an unknown or broken one that `settings` name.

    Where they name none, all that can be used are taken, and the others told in a warning. `recorded` are metrics that
    an earlier command asked for: one that is no longer installed is left out with a warning.
    """
    asked = settings.metrics or metric_names()
    if not settings.metrics:
        for left_out in broken_plug_ins().values():
            warnings.warn(f"Left out: {left_out.message}", stacklevel=2)
    metrics, broken = _made_of((*asked, *recorded), settings)
    for name, cause in broken.items():
        if name in settings.metrics:
            raise cause
        warnings.warn(f"Left out: {cause.message}", stacklevel=2)
    for derived in [metric for metric in metrics.values() if isinstance(metric, DerivedMetric)]:
        for score in derived.requires:
            if (name := producer(score)) not in metrics:
                metrics[name] = _made(name, settings)
    return {name: metrics[name] for name in in_order(metrics)}


def usable_metrics(settings: EvaluateSettings) -> tuple[dict[str, Metric], dict[str, MMBenchError]]:
    """Instances of the metrics that settings name, else of all, and what is wrong with those that cannot be made."""
    return _made_of(settings.metrics or metric_names(), settings)


def _made_of(names: Iterable[str], settings: EvaluateSettings) -> tuple[dict[str, Metric], dict[str, MMBenchError]]:
    metrics: dict[str, Metric] = {}
    broken: dict[str, MMBenchError] = {}
    for name in in_order(names):
        try:
            metrics[name] = _made(name, settings)
        except MMBenchError as cause:
            broken[name] = cause
    return metrics, broken


def _made(name: str, settings: EvaluateSettings) -> Metric:
    cls = metric_class(name)
    try:
        return cls.from_settings(settings)
    except MMBenchError:
        raise
    except Exception as cause:
        said = f"The metric {name!r} ({cls.__module__}:{cls.__qualname__}) cannot be made"
        raise PlugInError(f"{said}: {type(cause).__name__}: {cause}.", "Mend or uninstall its package.") from cause


@torch_as_started()
def measure_item(task: Task, metrics: Mapping[str, Metric], gatherer: Gatherer) -> ItemRow:
    """The row of one item. Never raises for what the item is: an unusable clip is a row with its error.

    Raises MachineFault where the machine is to blame.
    """
    start, item = time.perf_counter(), task.item
    try:
        if closed := _cannot_open(item.video):
            return _failed(task, "MediaError", closed, "Correct the path, or give permission to read it.", start)
        needs = [need for name in task.todo for need in metrics[name].needs]
        evidence, unmet = gatherer.gather(item, needs, task.clip)
    except Exception as cause:  # a fault of ours or of a codec: this clip is lost, the run is not
        if machine := machine_fault(cause, str(item.video)):
            raise machine from cause
        known = isinstance(cause, MMBenchError)
        said = (cause.message, cause.remedy) if isinstance(cause, MMBenchError) else fault(item.video, cause)
        return _failed(task, type(cause).__name__ if known else "Fault", *said, start)
    clip = evidence.clip
    every = [name for name, metric in metrics.items() if not isinstance(metric, DerivedMetric)]
    if clip.sha256 != task.sha256 and list(task.todo) != every:
        another = Task(item, task.parts, tuple(every), clip.sha256, limits=task.limits)
        return measure_item(another, metrics, gatherer)
    scores = scores_at(task.kept)
    for name in task.todo:
        metric, key = metrics[name], score_key(task.parts[name], clip.sha256)
        if isinstance(metric, ClipMetric):
            scores[name] = tuple(replace(score, inputs=key) for score in _measure_one(metric, evidence, unmet))
        elif isinstance(metric, SetMetric):
            keep_features(features_path(gatherer.run, metric.facts.name, key), metric, evidence, unmet)
    facts = MeasuredFile(
        clip.n_frames,
        clip.width,
        clip.height,
        clip.fps,
        clip.fps_source,
        clip.sha256,
        tuple(clip.warnings),
        clip_key(item, clip.sha256, task.limits),
    )
    row = ItemRow(item, together(item, scores, metrics, task.parts), facts, seconds=_since(start))
    own = sum(score.seconds for name in task.todo for score in scores.get(name, ()))
    gatherer.times.write(item.id, clip.n_frames, row.seconds, own)
    return row


def composed(task: Task, metrics: Mapping[str, Metric]) -> ItemRow:
    """The row of an item of which nothing is to be measured."""
    return ItemRow(task.item, together(task.item, scores_at(task.kept), metrics, task.parts), task.clip)


def scores_of(metrics: Mapping[str, Metric], evidence: Evidence, unmet: Mapping[Need[Any], Unmet]) -> tuple[Score, ...]:
    """All scores of a clip that nobody keeps: what `measure_item` puts into a row, without keys.

    Raises MachineFault where the machine is to blame.
    """
    found = [s for m in metrics.values() if isinstance(m, ClipMetric) for s in _measure_one(m, evidence, unmet)]
    by_name: Mapping[str, Score] = {score.metric: score for score in found}
    for metric in metrics.values():
        if isinstance(metric, DerivedMetric):
            found += _derive_one(metric, by_name, evidence.item)
    return tuple(found)


def together(
    item: Item, scores: Mapping[str, Sequence[Score]], metrics: Mapping[str, Metric], parts: Mapping[str, str]
) -> tuple[Score, ...]:
    """All scores of an item, those of its clip in column order, then those derived from them."""
    found = [score for name in metrics for score in scores.get(name, ())]
    by_name: Mapping[str, Score] = {score.metric: score for score in found}
    inputs = {score.metric: score.inputs for score in found}
    for name, metric in metrics.items():
        if isinstance(metric, DerivedMetric):
            key = derived_key(parts[name], metric, inputs)
            found += [replace(score, inputs=key) for score in _derive_one(metric, by_name, item)]
    return tuple(found)


def unmade(item: Item) -> ItemRow | None:
    """The row of a video that was never made, else None: the manifest of a generation run lists failed requests too."""
    if not (reason := item.extra.get("error")):
        return None
    said = f"The video was not made: {reason}"
    return ItemRow(item, error=RowError("GenerationError", said, "Generate again.", inputs=clip_key(item, "", "")))


def file_digest(video: Path) -> str:
    """sha256 of a video's bytes, or "" when there is nothing to read: no file, no permission, a pipe or a device."""
    from mmbench.video.read import content_digest

    try:
        return content_digest(video) if video.is_dir() or video.is_file() else ""
    except (OSError, ValueError, MMBenchError):
        return ""


def lost(task: Task, kind: str, message: str, remedy: str) -> ItemRow:
    """The row of a clip that could not be measured at all."""
    digest = file_digest(task.item.video)
    key = clip_key(task.item, digest, task.limits)
    return ItemRow(task.item, error=RowError(kind, message, remedy, digest, key))


def keep_features(path: Path, metric: SetMetric, evidence: Evidence, unmet: Mapping[Need[Any], Unmet]) -> None:
    """Store what a set metric wants of this clip; a metric that fails at it is told so when its set is scored."""
    item = evidence.item
    if lacking := unmet_scores(metric, unmet):
        first = lacking[0]
        write_features(path, NoFeatures(item, first.reason, first.remedy, first.unmet))
        return
    try:
        kept = metric.features(evidence)
        write_features(path, kept)
    except Exception as cause:
        if machine := machine_fault(cause):
            raise machine from cause
        write_features(path, NoFeatures(item, *fault(item.video, cause)))


def unmet_scores(metric: Metric, unmet: Mapping[Need[Any], Unmet]) -> list[Score]:
    """Scores of a metric that lacks something, "missing" or, where what it needs has failed, "error"; else none."""
    lacking = [unmet[need] for need in metric.needs if need in unmet]
    if not lacking:
        return []
    first = next((lack for lack in lacking if lack.fault), lacking[0])
    if first.fault:
        return [Score.error(facts.name, first.reason, first.remedy) for facts in metric.all_facts()]
    return _lacks(metric, first.reason, first.remedy)


def _lacks(metric: Metric, reason: str, remedy: str) -> list[Score]:
    missing = (Score.missing(facts.name, reason, remedy) for facts in metric.all_facts())
    return [replace(score, unmet=True) for score in missing]


def _measure_one(metric: ClipMetric, evidence: Evidence, unmet: Mapping[Need[Any], Unmet]) -> list[Score]:
    if missing := unmet_scores(metric, unmet):
        return missing
    start = time.perf_counter()
    try:
        scores = metric.measure(evidence)
        json.dumps([score.to_json() for score in scores], allow_nan=False)  # a row must be writable
        first, *others = scores
        return [replace(first, seconds=_since(start)), *others]
    except UNAVAILABLE as cause:
        return _lacks(metric, cause.message, cause.remedy)
    except MMBenchError as cause:
        if machine := machine_fault(cause):
            raise machine from cause
        return [Score.missing(facts.name, cause.message, cause.remedy) for facts in metric.all_facts()]
    except Exception as cause:  # one metric's fault must not take the others' numbers with it
        if machine := machine_fault(cause):
            raise machine from cause
        return [Score.error(facts.name, *fault(evidence.item.video, cause)) for facts in metric.all_facts()]
    finally:
        metric.reset()


def _derive_one(metric: DerivedMetric, scores: Mapping[str, Score], item: Item) -> list[Score]:
    try:
        return metric.derive(scores)
    except Exception as cause:
        return [Score.error(facts.name, *fault(item.video, cause)) for facts in metric.all_facts()]


def _cannot_open(video: Path) -> str:
    """Why no system could open a file of this name, or this one will not; "" where it can be tried."""
    try:
        video.stat()
    except (FileNotFoundError, RemoteError):
        return ""  # the reader says what is missing
    except (OSError, ValueError) as cause:
        return f"{str(video)!r} cannot be opened: {cause.strerror if isinstance(cause, OSError) else cause}."
    return "" if os.access(video, os.R_OK) else f"{str(video)!r} cannot be read: no permission."


def _failed(task: Task, kind: str, message: str, remedy: str, start: float) -> ItemRow:
    return replace(lost(task, kind, message, remedy), seconds=_since(start))


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 4)
