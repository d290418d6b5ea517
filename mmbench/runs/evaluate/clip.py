"""One item to one row: gather the evidence in one decode, then let every metric read it."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmbench.config import EvaluateSettings
from mmbench.errors import MediaError, MMBenchError
from mmbench.items import Item
from mmbench.metrics.base import ClipMetric, DerivedMetric, Evidence, Metric, Need, SetMetric
from mmbench.metrics.registry import metric_class, metric_names, producer
from mmbench.runs.evaluate.gather import Gatherer, Unmet
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError
from mmbench.score import Score


def make_metrics(settings: EvaluateSettings) -> dict[str, Metric]:
    """Instances of the metrics a run asks for, by name, in the order asked for, or in column order; whatever a derived
    metric is made of comes along. Raises MMBenchError for an unknown name."""
    options: dict[str, dict[str, object]] = {
        "fm_inter": {"version": settings.fm_version},
        "success_rates": {"limits": settings.success},
        "text_alignment": {"prompt": settings.text.prompt},
    }
    metrics = {name: metric_class(name)(**options.get(name, {})) for name in settings.metrics or metric_names()}
    for derived in [metric for metric in metrics.values() if isinstance(metric, DerivedMetric)]:
        for score in derived.requires:
            if (name := producer(score)) not in metrics:
                metrics[name] = metric_class(name)(**options.get(name, {}))
    return metrics


def measure_item(item: Item, metrics: Sequence[Metric], gatherer: Gatherer) -> ItemRow:
    """The row of one item. Never raises for what the item is: an unusable clip is a row with its error."""
    start = time.perf_counter()
    if reason := item.extra.get("error"):  # the manifest of a generation run lists failed requests too
        return ItemRow(item, error=RowError("GenerationError", f"The video was not made: {reason}", "Generate again."))
    try:
        evidence = gatherer.gather(item)
    except MMBenchError as cause:
        error = RowError(type(cause).__name__, cause.message, cause.remedy, file_digest(item.video))
        return ItemRow(item, error=error, seconds=_since(start))
    except Exception as cause:  # a fault of ours or of a codec: this clip is lost, the run is not
        error = replace(_fault(item, cause), file_sha256=file_digest(item.video))
        return ItemRow(item, error=error, seconds=_since(start))
    scores: list[Score] = []
    for metric in metrics:
        if isinstance(metric, ClipMetric):
            scores += _measure_one(metric, evidence, gatherer.unmet)
    by_name: Mapping[str, Score] = {score.metric: score for score in scores}
    for metric in metrics:
        if isinstance(metric, DerivedMetric):
            scores += metric.derive(by_name)
        elif isinstance(metric, SetMetric):
            gatherer.keep_features(item, evidence)
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


def unmet_scores(metric: Metric, unmet: Mapping[Need, Unmet]) -> list[Score]:
    """ "missing" scores of a metric that lacks something; empty when it lacks nothing."""
    lacking = [unmet[need] for need in sorted(metric.needs) if need in unmet]
    if not lacking:
        return []
    return [Score.missing(facts.name, lacking[0].reason, lacking[0].remedy) for facts in metric.all_facts()]


def _measure_one(metric: ClipMetric, evidence: Evidence, unmet: Mapping[Need, Unmet]) -> list[Score]:
    if missing := unmet_scores(metric, unmet):
        return missing
    start = time.perf_counter()
    try:
        scores = metric.measure(evidence)
        json.dumps([score.to_json() for score in scores], allow_nan=False)  # a row must be writable
    except MMBenchError as cause:
        return [Score.missing(facts.name, cause.message, cause.remedy) for facts in metric.all_facts()]
    except Exception as cause:  # one metric's fault must not take the others' numbers with it
        fault = _fault(evidence.item, cause)
        return [Score.error(facts.name, fault.message, fault.remedy) for facts in metric.all_facts()]
    finally:
        metric.reset()
    return [replace(scores[0], seconds=_since(start)), *scores[1:]]


def _fault(item: Item, cause: Exception) -> RowError:
    where = traceback.extract_tb(cause.__traceback__)[-1]
    message = f"{item.video}: {type(cause).__name__}: {cause} ({where.name}, line {where.lineno} of {where.filename})."
    if isinstance(cause, MediaError):
        return RowError("MediaError", cause.message, cause.remedy)
    return RowError(type(cause).__name__, message, "This is a fault of mmbench or of a library: please report it.")


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 4)
