"""What makes rows of one table not comparable: other clip geometry, frame rates, backends, weights or clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.samples import Samples, models_of
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile

SHOWN = 4


def column_is_mixed(samples: Samples, metric: str) -> bool:
    """Whether the models' values of a metric were made by different backends or weights, or against different people:
    then nothing is ranked."""
    parts = [sample for sample in samples.of_metric(metric) if sample.values]
    return (
        len({part.labels for part in parts}) > 1
        or len({part.weights for part in parts}) > 1
        or len({part.banks for part in parts}) > 1
        or any(len(part.labels) > 1 or len(part.weights) > 1 or len(part.banks) > 1 for part in parts)
    )


def cautions(samples: Samples, facts: Mapping[str, MetricFacts]) -> tuple[str, ...]:
    """One sentence for each mixture or loss that a reader of the table has to know."""
    rows = samples.rows
    return (
        *_backend_mixtures(samples, facts),
        *_geometry(rows, "frame size", lambda clip: f"{clip.width}x{clip.height}"),
        *_geometry(rows, "frame rate", lambda clip: f"{clip.fps:.4g} fps"),
        *_geometry(rows, "length", lambda clip: f"{clip.n_frames} frames"),
        *_assumed_fps(rows),
        *_unusable(rows),
        *_clip_warnings(rows),
        *_uneven(rows),
    )


def _backend_mixtures(samples: Samples, facts: Mapping[str, MetricFacts]) -> list[str]:
    found = []
    for metric, fact in facts.items():
        if column_is_mixed(samples, metric):
            used = {
                sample.model: " + ".join(sample.labels) or "an unnamed backend"
                for sample in sorted(samples.of_metric(metric), key=lambda sample: sample.model)
                if sample.values
            }
            parts = [sample for sample in samples.of_metric(metric) if sample.values]
            if len({part.banks for part in parts} | {part.banks[:1] for part in parts}) > 1:
                found.append(f"{fact.title}: measured against different sets of people; not ranked, not comparable.")
            elif len(set(used.values())) == 1 and " + " not in next(iter(used.values())):
                found.append(f"{fact.title}: measured with different weight files; not ranked.")
            else:
                labels = "; ".join(f"{model}: {label}" for model, label in used.items())
                found.append(f"{fact.title}: measured with different backends ({labels}); not ranked.")
    return found


def _geometry(rows: Sequence[ItemRow], what: str, describe: Callable[[MeasuredFile], str]) -> list[str]:
    """Differences within a model or between models, most frequent value first."""
    by_model: dict[str, Counter[str]] = {model: Counter() for model in models_of(rows)}
    for row in rows:
        if row.clip is not None:
            by_model[row.item.model][describe(row.clip)] += 1
    if len({value for counts in by_model.values() for value in counts}) < 2:
        return []
    shown = "; ".join(f"{model}: {_list(counts)}" for model, counts in by_model.items() if counts)
    return [f"Clips differ in {what} ({shown}): metrics that depend on it are not strictly comparable."]


def _list(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = len(ordered) - SHOWN
    if len(ordered) == 1:
        return ordered[0][0]
    text = ", ".join(f"{value} ({_clips(count)})" for value, count in ordered[:SHOWN])
    return f"{text} and {rest} more" if rest > 0 else text


def _assumed_fps(rows: Sequence[ItemRow]) -> list[str]:
    count = sum(row.clip is not None and row.clip.fps_source == "assumed" for row in rows)
    if not count:
        return []
    return [
        f"{_clips(count)} of unknown frame rate: it was assumed, and sampling depends on it. "
        "The manifest's column fps can name it."
    ]


def _unusable(rows: Sequence[ItemRow]) -> list[str]:
    lost = Counter(row.item.model for row in rows if row.error is not None)
    total = Counter(row.item.model for row in rows)
    return [
        f"{model}: {count} of {total[model]} clips could not be measured at all; see the rows for each reason."
        for model, count in sorted(lost.items())
    ]


def _clip_warnings(rows: Sequence[ItemRow]) -> list[str]:
    """What rows are to be read with ("cadence: 34% ..."), counted by kind, with the first as an example."""
    texts = sorted(text for row in rows for text in row.told)
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kind, _, said = text.partition(": ")
        if kind != "assumed_fps":  # counted by `_assumed_fps`
            kinds.setdefault(kind, []).append(said or text)
    ordered = sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    found = []
    for _, group in ordered[:SHOWN]:
        example = ", for example" if len(set(group)) > 1 else ""
        found.append(f"{_clips(len(group))}{example}: {group[0]}")
    if len(ordered) > SHOWN:
        found.append(f"{len(ordered) - SHOWN} more kinds of clip warnings; see the rows.")
    return found


def _uneven(rows: Sequence[ItemRow]) -> list[str]:
    """Means over other identities are means of something else."""
    identities = {
        model: frozenset(row.item.identity for row in rows if row.item.model == model) for model in models_of(rows)
    }
    if len(set(identities.values())) < 2:
        return []
    shared = frozenset.intersection(*identities.values())
    counts = ", ".join(f"{model}: {len(names)}" for model, names in identities.items())
    return [
        f"Models were measured on different identities ({counts}; shared by all: {len(shared)}): "
        + ("compare them by paired differences, not by these means." if shared else "their means are of other people.")
    ]


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"
