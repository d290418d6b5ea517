"""From rows to samples: all that the rows of one model say about one metric, gaps included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mmbench.items import Item
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.scores import Score

NOT_ASKED = "not measured in this run"


@dataclass(frozen=True, order=True)
class Gap:
    """Why `count` clips of a model have no value of a metric; `unusable`: the clip itself could not be read."""

    reason: str
    remedy: str
    count: int
    unusable: bool = False


@dataclass(frozen=True)
class Sample:
    """The values of one metric over one model's clips, in the order of `sorted_rows`.

    `n_total` counts every clip of the model, unusable files included, so that coverage is honest. `labels` name
    what made the numbers ("dis", "dlib v2"); `weights` are the distinct sets of weight files (name, sha256).
    `banks` are the distinct sets of people that the clips were compared with (their digests). `remarks` are the
    metric's own, counted over clips. A set statistic has its `set_size`, the clips its one value
    was computed over.
    """

    model: str
    metric: str
    values: tuple[float, ...]
    items: tuple[Item, ...]
    n_total: int
    gaps: tuple[Gap, ...] = ()
    labels: tuple[str, ...] = ()
    weights: tuple[tuple[tuple[str, str], ...], ...] = ()
    random_weights: bool = False
    banks: tuple[str, ...] = ()
    set_size: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def clusters(self) -> tuple[str, ...]:
        """Identity of each value: the unit of every interval and test."""
        return tuple(item.identity for item in self.items)

    @property
    def tried(self) -> bool:
        """Whether the run tried to measure this on some clip that could be read."""
        return bool(self.values) or any(gap.reason != NOT_ASKED and not gap.unusable for gap in self.gaps)


@dataclass(frozen=True)
class Samples:
    """All that rows say, taken once and handed to tables, comparisons and the page.

    `models` are in alphabetical order, `rows` in the order of `sorted_rows`. `by_key` has a sample for every
    (model, metric) of which any row or set row speaks.
    """

    models: tuple[str, ...]
    rows: tuple[ItemRow, ...]
    by_key: dict[tuple[str, str], Sample]

    def get(self, model: str, metric: str) -> Sample | None:
        """The sample of one model for one metric; None where no row speaks of it."""
        return self.by_key.get((model, metric))

    def of_metric(self, metric: str) -> list[Sample]:
        """The models' samples of one metric, in the order of `models`."""
        return [sample for model in self.models if (sample := self.get(model, metric)) is not None]

    def rows_of(self, model: str) -> list[ItemRow]:
        """The rows of one model."""
        return [row for row in self.rows if row.item.model == model]

    def only(self, keep: Callable[[Sample], bool]) -> Samples:
        """The same rows, with those samples that `keep` accepts."""
        return replace(self, by_key={key: sample for key, sample in self.by_key.items() if keep(sample)})


def sorted_rows(rows: Iterable[ItemRow]) -> list[ItemRow]:
    """Rows by model, identity, prompt, seed, id: the same whatever order the workers finished in."""
    return sorted(rows, key=lambda row: row.item.order)


def models_of(rows: Sequence[ItemRow], set_rows: Sequence[SetRow] = ()) -> list[str]:
    """Model names in alphabetical order, case ignored."""
    return sorted({row.item.model for row in rows} | {row.model for row in set_rows}, key=lambda m: (m.casefold(), m))


def take_samples(rows: Sequence[ItemRow], set_rows: Sequence[SetRow] = ()) -> Samples:
    """Everything that a report reads of its rows, in one pass over them."""
    ordered = sorted_rows(rows)
    by_model: dict[str, list[ItemRow]] = {model: [] for model in models_of(rows)}
    for row in ordered:
        by_model[row.item.model].append(row)
    metrics = dict.fromkeys(score.metric for row in ordered for score in row.scores)
    samples = {}
    for model, model_rows in by_model.items():
        looked_up = [(row, {score.metric: score for score in reversed(row.scores)}) for row in model_rows]
        for metric in metrics:
            samples[model, metric] = _clip_sample(model, metric, looked_up)
    for set_row in set_rows:
        clips = by_model.get(set_row.model, [])
        for score in set_row.scores:
            samples[set_row.model, score.metric] = _set_sample(set_row, score, clips)
    return Samples(tuple(models_of(rows, set_rows)), tuple(ordered), samples)


def generator_is_random(item: Item) -> bool:
    """Whether the video came from an untrained generator (`extra["random_weights"]` = "true")."""
    return item.extra.get("random_weights", "").lower() == "true"


def _clip_sample(model: str, metric: str, rows: Sequence[tuple[ItemRow, Mapping[str, Score]]]) -> Sample:
    """`rows` come with their scores by metric."""
    valid: list[tuple[ItemRow, Score]] = []
    gaps: Counter[tuple[str, str, bool]] = Counter()
    for row, scores in rows:
        score = scores.get(metric)
        if row.error is not None:
            gaps[row.error.message, row.error.remedy, True] += 1
        elif score is None:
            gaps[NOT_ASKED, f"Evaluate again with the metric {metric}.", False] += 1
        elif score.status == "ok":
            valid.append((row, score))
        else:
            gaps[score.reason or f"{score.status} without a stated reason", score.remedy, False] += 1
    # Most numbers of a sample were made by one and the same: what made them is told once each.
    makers = {id(score.provenance): score for _, score in valid}
    named = [score for _, score in valid if score.details]
    named += {id(score.provenance): score for _, score in valid if not score.details}.values()
    untrained = any(map(_is_random, makers.values())) or any(generator_is_random(row.item) for row, _ in valid)
    return Sample(
        model=model,
        metric=metric,
        values=tuple(_number(score) for _, score in valid),
        items=tuple(row.item for row, _ in valid),
        n_total=len(rows),
        gaps=_ordered(gaps),
        labels=tuple(sorted({_label(score) for score in named} - {""})),
        weights=tuple(sorted({_weights(score) for score in makers.values()})),
        random_weights=untrained,
        banks=tuple(sorted({score.bank for _, score in valid} - {""})),
        remarks=(*_clip_remarks([score for _, score in valid]), *_same_network(valid)),
    )


def _set_sample(row: SetRow, score: Score, clips: Sequence[ItemRow]) -> Sample:
    """A set statistic: one value over `row.n` clips, so no interval can be drawn from it."""
    ok = score.status == "ok"
    return Sample(
        model=row.model,
        metric=score.metric,
        values=(_number(score),) if ok else (),
        items=(),
        n_total=max(len(clips), row.n),
        gaps=() if ok else (Gap(score.reason, score.remedy, max(len(clips), row.n)),),
        labels=tuple({_label(score)} - {""}) if ok else (),
        weights=(_weights(score),) if ok else (),
        random_weights=ok and (_is_random(score) or any(generator_is_random(clip.item) for clip in clips)),
        set_size=row.n,
        remarks=_remarks(score),
    )


def _number(score: Score) -> float:
    assert score.value is not None  # what "ok" means, checked by Score itself
    return score.value


def _label(score: Score) -> str:
    """Backend, version and variant of the definition, order of a set: what must agree before values are compared."""
    backend = score.provenance.backend if score.provenance else ""
    version, variant, order = (score.details.get(key) for key in ("version", "variant", "order"))
    parts = (
        backend,
        f"v{version}" if isinstance(version, int) else "",
        variant if isinstance(variant, str) else "",
        f"{order} order" if isinstance(order, str) else "",
    )
    return " ".join(part for part in parts if part)


def _remarks(score: Score) -> tuple[str, ...]:
    """What the metric itself says about a set: its warning, its spread over splits."""
    warning, spread = score.details.get("warning"), score.details.get("std")
    return (
        *((warning,) if isinstance(warning, str) and warning else ()),
        *((f"standard deviation over its splits {spread:.2f}",) if isinstance(spread, float) else ()),
    )


def _clip_remarks(scores: Sequence[Score]) -> tuple[str, ...]:
    """What the metric remarks about single clips, with their number."""
    remarks = [score.details["remark"] for score in scores if "remark" in score.details]
    counts = Counter(remark for remark in remarks if isinstance(remark, str))
    return tuple(f"{count} of {len(scores)} clips: {remark}" for remark, count in sorted(counts.items()))


def _same_network(valid: Sequence[tuple[ItemRow, Score]]) -> tuple[str, ...]:
    """What is to be told where the network that measures is one that the model was conditioned on or trained with."""
    shared: Counter[str] = Counter()
    for row, score in valid:
        if row.item.conditioned_on and score.provenance:
            shared.update(name for name in row.item.conditioned_on if name in score.provenance.weights)
    return tuple(
        f"{count} of {len(valid)} clips: the model was conditioned on or trained with this very network ({name})"
        for name, count in sorted(shared.items())
    )


def _weights(score: Score) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(score.provenance.weights.items())) if score.provenance else ()


def _is_random(score: Score) -> bool:
    return score.provenance is not None and score.provenance.random_weights


def _ordered(gaps: Counter[tuple[str, str, bool]]) -> tuple[Gap, ...]:
    """Most frequent first, then by text: the order never depends on the rows' order."""
    found = [Gap(reason, remedy, count, unusable) for (reason, remedy, unusable), count in gaps.items()]
    return tuple(sorted(found, key=lambda gap: (-gap.count, gap.reason, gap.remedy)))
