"""One item to one row: gather the evidence in one decode, then let every metric read it."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.errors import MMBenchError
from mmbench.items import Item
from mmbench.metrics.base import ClipMetric, DerivedMetric, Evidence, Metric, Need, SetMetric
from mmbench.metrics.registry import broken_plug_ins, metric_class, metric_names, producer
from mmbench.runs.evaluate.fault import fault
from mmbench.runs.evaluate.features import FeatureFault, features_path, write_features
from mmbench.runs.evaluate.gather import Gatherer, Unmet
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError
from mmbench.score import Score


def make_metrics(settings: EvaluateSettings) -> dict[str, Metric]:
    """Instances of the metrics a run asks for, by name, in the order asked for, or in column order; whatever a derived
    metric is made of comes along. Raises MMBenchError for an unknown name."""
    if not settings.metrics:
        for broken in broken_plug_ins().values():
            warnings.warn(f"Left out: {broken.message}", stacklevel=2)
    metrics = {name: metric_class(name).from_settings(settings) for name in settings.metrics or metric_names()}
    for derived in [metric for metric in metrics.values() if isinstance(metric, DerivedMetric)]:
        for score in derived.requires:
            if (name := producer(score)) not in metrics:
                metrics[name] = metric_class(name).from_settings(settings)
    return metrics


def measure_item(item: Item, metrics: Sequence[Metric], gatherer: Gatherer) -> ItemRow:
    """The row of one item. Never raises for what the item is: an unusable clip is a row with its error."""
    start = time.perf_counter()
    if reason := item.extra.get("error"):  # the manifest of a generation run lists failed requests too
        return ItemRow(item, error=RowError("GenerationError", f"The video was not made: {reason}", "Generate again."))
    try:
        evidence, unmet = gatherer.gather(item)
    except MMBenchError as cause:
        error = RowError(type(cause).__name__, cause.message, cause.remedy, file_digest(item.video))
        return ItemRow(item, error=error, seconds=_since(start))
    except Exception as cause:  # a fault of ours or of a codec: this clip is lost, the run is not
        error = RowError(type(cause).__name__, *fault(item.video, cause), file_digest(item.video))
        return ItemRow(item, error=error, seconds=_since(start))
    scores: list[Score] = []
    for metric in metrics:
        if isinstance(metric, ClipMetric):
            scores += _measure_one(metric, evidence, unmet)
    by_name: Mapping[str, Score] = {score.metric: score for score in scores}
    for metric in metrics:
        if isinstance(metric, DerivedMetric):
            scores += _derive_one(metric, by_name, item)
    keep_features(gatherer.run, metrics, evidence, unmet)
    clip = evidence.clip
    facts = MeasuredFile(
        clip.n_frames, clip.width, clip.height, clip.fps, clip.fps_source, clip.sha256, tuple(clip.warnings)
    )
    return ItemRow(item, tuple(scores), facts, seconds=_since(start))


def file_digest(video: Path) -> str:
    """sha256 of a video's bytes, or "" when there is nothing to read."""
    from mmbench.video.read import content_digest

    try:
        return content_digest(video)
    except (OSError, MMBenchError):
        return ""


def keep_features(run: Path, metrics: Sequence[Metric], evidence: Evidence, unmet: Mapping[Need[Any], Unmet]) -> None:
    """Store what each set metric wants of this clip; a metric that fails at it is told so when its set is scored."""
    for metric in metrics:
        if not isinstance(metric, SetMetric):
            continue
        if unmet_scores(metric, unmet):  # what another file of this item gave is not this clip's
            features_path(run, metric.facts.name, evidence.item).unlink(missing_ok=True)
            continue
        try:
            write_features(run, metric.facts.name, metric.features(evidence))
        except Exception as cause:
            write_features(run, metric.facts.name, FeatureFault(evidence.item, *fault(evidence.item.video, cause)))


def unmet_scores(metric: Metric, unmet: Mapping[Need[Any], Unmet]) -> list[Score]:
    """Scores of a metric that lacks something, "missing" or, where what it needs has failed, "error"; else none."""
    lacking = [unmet[need] for need in metric.needs if need in unmet]
    if not lacking:
        return []
    first = next((lack for lack in lacking if lack.fault), lacking[0])
    make = Score.error if first.fault else Score.missing
    return [make(facts.name, first.reason, first.remedy) for facts in metric.all_facts()]


def _measure_one(metric: ClipMetric, evidence: Evidence, unmet: Mapping[Need[Any], Unmet]) -> list[Score]:
    if missing := unmet_scores(metric, unmet):
        return missing
    start = time.perf_counter()
    try:
        scores = metric.measure(evidence)
        json.dumps([score.to_json() for score in scores], allow_nan=False)  # a row must be writable
    except MMBenchError as cause:
        return [Score.missing(facts.name, cause.message, cause.remedy) for facts in metric.all_facts()]
    except Exception as cause:  # one metric's fault must not take the others' numbers with it
        return [Score.error(facts.name, *fault(evidence.item.video, cause)) for facts in metric.all_facts()]
    finally:
        metric.reset()
    return [replace(scores[0], seconds=_since(start)), *scores[1:]]


def _derive_one(metric: DerivedMetric, scores: Mapping[str, Score], item: Item) -> list[Score]:
    try:
        return metric.derive(scores)
    except Exception as cause:
        return [Score.error(facts.name, *fault(item.video, cause)) for facts in metric.all_facts()]


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 4)
