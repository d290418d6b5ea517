"""Is A better than B? Paired differences on the clips both made, with identities as the unit and Holm's correction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Literal

from mmbench.errors import ManifestError, RequestError
from mmbench.items import Item
from mmbench.metrics.base import MetricFacts
from mmbench.names import few
from mmbench.reports.numbers.power import why_undecidable
from mmbench.reports.numbers.samples import Sample, Samples, models_of, sorted_rows, take_samples
from mmbench.reports.numbers.stats import Estimate, difference_bounds, holm, paired_test
from mmbench.reports.numbers.verdicts import Verdict, judge, summarise
from mmbench.runs.evaluate.rows import ItemRow

Pairing = Literal["clip", "prompt", "identity", "none"]

LEVELS: dict[Pairing, Callable[[Item], tuple[Hashable, ...]]] = {
    "clip": lambda item: (item.identity, _prompt(item), item.seed),
    "prompt": lambda item: (item.identity, _prompt(item)),
    "identity": lambda item: (item.identity,),
}
"""What a pair shares, finest first. Several clips of one model with the same key are averaged."""

SAME_ROWS = "Every clip and every number of one side is also the other's. Name two runs, or two models of one run."


@dataclass(frozen=True)
class Difference:
    """One metric: A minus B over the pairs both have. `sentence` says what may be concluded.

    `difference`, `p` and `p_holm` are None where nothing can be tested; `reason` then says why. `unpaired` counts
    the keys that only one side has a value for.
    """

    facts: MetricFacts
    mean_a: float | None
    mean_b: float | None
    difference: Estimate | None
    p: float | None
    p_holm: float | None
    smallest_p: float | None
    unpaired: int
    verdict: Verdict
    sentence: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """All metrics of two models. `tests` is the number of tests that Holm's correction spans. `undecidable` says
    why none of its tests could have been decided, whatever the values; empty where one could, or none was made.
    """

    name_a: str
    name_b: str
    pairing: Pairing
    differences: tuple[Difference, ...]
    tests: int
    summary: str
    notes: tuple[str, ...]
    undecidable: str = ""


@dataclass(frozen=True)
class _How:
    random_weights: bool
    seed: int


@dataclass(frozen=True)
class _Side:
    """One model of a comparison, among the samples that may hold others too."""

    model: str
    samples: Samples

    @cached_property
    def keys(self) -> dict[Pairing, set[tuple[Hashable, ...]]]:
        """What its clips could be paired by, at every level."""
        rows = self.samples.rows_of(self.model)
        return {level: {key(row.item) for row in rows} for level, key in LEVELS.items()}

    @cached_property
    def _averaged(self) -> dict[tuple[str, Pairing], dict[tuple[Hashable, ...], float]]:
        return {}

    def by_key(self, sample: Sample, pairing: Pairing) -> dict[tuple[Hashable, ...], float]:
        """The values of one of its samples by what a pair shares; made once for all the models it meets."""
        found = self._averaged.get((sample.metric, pairing))
        if found is None:
            found = self._averaged[sample.metric, pairing] = _by_key(sample, pairing)
        return found

    def sample(self, metric: str) -> Sample | None:
        found = self.samples.get(self.model, metric)
        return found if found is not None and found.tried else None


def compare(
    rows_a: Sequence[ItemRow],
    rows_b: Sequence[ItemRow],
    facts: Mapping[str, MetricFacts],
    *,
    name_a: str | None = None,
    name_b: str | None = None,
    random_weights: bool = False,
    seed: int = 0,
) -> Comparison:
    """Paired comparison of two models, one on each side, over the clip metrics in `facts` that both have.

    Clips are paired by (identity, prompt, seed) or, where seeds or prompts differ, by what they share. Numbers
    made by untrained networks are "not comparable" unless `random_weights` says so (tests of the machinery).
    Where both sides are the same rows there is nothing to test: no differences, and the summary says so.
    Raises ManifestError when a side is empty or holds several models.

        >>> from pathlib import Path
        >>> import mmbench
        >>> from mmbench.items import Item
        >>> from mmbench.scores import Score
        >>> def rows(model, value):
        ...     items = [Item(f"{model}{n}", model, f"person {n}", Path("a.mp4"), prompt="waves") for n in range(8)]
        ...     return [ItemRow(item, (Score.ok("id_similarity", value + 0.01 * n),)) for n, item in enumerate(items)]
        >>> facts = mmbench.metrics.facts_by_name()
        >>> result = mmbench.compare(rows("ours", 0.9), rows("theirs", 0.8), facts)
        >>> result.differences[0].verdict, result.differences[0].p
        ('a better', 0.0078125)
    """
    how = _How(random_weights, seed)
    if rows_a and _content(rows_a) == _content(rows_b):
        model = _only_model(rows_a, "first")
        summary = "both sides are the same rows, so there is nothing to compare."
        return Comparison(name_a or model, name_b or model, "clip", (), 0, summary, (SAME_ROWS,))
    a, b = (
        _Side(_only_model(rows, side), take_samples(rows)) for rows, side in ((rows_a, "first"), (rows_b, "second"))
    )
    compared = replace(_raw(a, b, facts, how), name_a=name_a or a.model, name_b=name_b or b.model)
    return _finish([compared])[0]


def compare_all(
    samples: Samples,
    facts: Mapping[str, MetricFacts],
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    random_weights: bool = False,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Every pair of models of one run, or `pairs` alone; Holm's correction spans all tests of all of them.

    `facts` are of clip metrics: a set statistic has no pairs.
    """
    how = _How(random_weights, seed)
    sides = {model: _Side(model, samples) for model in models_of(samples.rows)}
    wanted = combinations(sides, 2) if pairs is None else pairs
    return tuple(_finish([_raw(sides[a], sides[b], facts, how) for a, b in wanted]))


def chosen_pairs(
    models: Sequence[str], against: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """The pairs of models that somebody named, then every model against each of `against`; each pair once.

    Raises RequestError for a model that is not among `models`, and for one against itself.
    """
    if unknown := [name for name in (*against, *(name for pair in pairs for name in pair)) if name not in models]:
        raise RequestError(f"No rows of the model {unknown[0]!r}.", f"Models there: {few(models, 20)}.")
    if same := [a for a, b in pairs if a == b]:
        raise RequestError(f"{same[0]} cannot be compared with itself.", "Name two models.")
    found: dict[frozenset[str], tuple[str, str]] = {}
    for a, b in (*pairs, *((other, one) for one in against for other in models if other != one)):
        found.setdefault(frozenset((a, b)), (a, b))
    return tuple(found.values())


def compare_apart(
    samples: Samples, facts: Mapping[str, MetricFacts], *, random_weights: bool = False, seed: int = 0
) -> tuple[Comparison, ...]:
    """As `compare_all`, with Holm's correction within each pair: what it says of two models no third one can change."""
    how = _How(random_weights, seed)
    sides = [_Side(model, samples) for model in models_of(samples.rows)]
    return tuple(_finish([_raw(a, b, facts, how)])[0] for a, b in combinations(sides, 2))


def sentences(comparison: Comparison) -> list[str]:
    """What may be concluded, one sentence a metric; those that the summary says once for all are left out."""
    left_out = "undecided" if comparison.undecidable else ""
    return [row.sentence for row in comparison.differences if row.verdict != left_out]


def _raw(side_a: _Side, side_b: _Side, facts: Mapping[str, MetricFacts], how: _How) -> Comparison:
    pairing = _pairing(side_a, side_b)
    differences = []
    for name, fact in facts.items():
        a, b = side_a.sample(name), side_b.sample(name)
        if pairing != "none" and a is not None and b is not None and (a.values or b.values):
            averaged = side_a.by_key(a, pairing), side_b.by_key(b, pairing)
            differences.append(_difference((a, b), averaged, fact, how))
    return Comparison(side_a.model, side_b.model, pairing, tuple(differences), 0, "", _notes(pairing))


def _difference(
    samples: tuple[Sample, Sample],
    averaged: tuple[Mapping[tuple[Hashable, ...], float], Mapping[tuple[Hashable, ...], float]],
    facts: MetricFacts,
    how: _How,
) -> Difference:
    (a, b), (by_key_a, by_key_b) = samples, averaged
    shared = [key for key in by_key_a if key in by_key_b]
    unpaired = len(by_key_a) + len(by_key_b) - 2 * len(shared)
    mean_a = sum(by_key_a[key] for key in shared) / len(shared) if shared else None
    mean_b = sum(by_key_b[key] for key in shared) / len(shared) if shared else None
    reason = _not_comparable(a, b, how.random_weights) or ("" if shared else "no clip of both sides has a value")
    if reason:
        return Difference(facts, mean_a, mean_b, None, None, None, None, unpaired, "not comparable", reason=reason)
    values = [by_key_a[key] - by_key_b[key] for key in shared]
    test = paired_test(values, [key[0] for key in shared], bounds=difference_bounds(facts.range), seed=how.seed)
    return Difference(facts, mean_a, mean_b, test.difference, test.p, None, test.smallest_p, unpaired, "undecided")


def _finish(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Adjust all p values together, then judge."""
    tested = [d.p for comparison in comparisons for d in comparison.differences if d.p is not None]
    adjusted = iter(holm(tested))
    finished = []
    for comparison in comparisons:
        differences = []
        for raw in comparison.differences:
            difference = raw if raw.p is None else replace(raw, p_holm=next(adjusted))
            verdict, sentence = judge(difference, comparison.name_a, comparison.name_b, len(tested))
            differences.append(replace(difference, verdict=verdict, sentence=sentence))
        undecidable = why_undecidable(differences, len(tested))
        done = replace(
            comparison,
            differences=tuple(differences),
            tests=len(tested),
            summary=summarise(differences, comparison.name_a, comparison.name_b, undecidable),
            undecidable=undecidable,
        )
        finished.append(done)
    return finished


def _only_model(rows: Sequence[ItemRow], side: str) -> str:
    models = models_of(rows)
    if len(models) == 1:
        return models[0]
    if not models:
        raise ManifestError(f"The {side} side of the comparison has no rows.", "Evaluate some clips first.")
    raise ManifestError(
        f"The {side} side of the comparison holds {len(models)} models: {', '.join(models)}.",
        "Name one of them, as RUN:MODEL.",
    )


def _content(rows: Sequence[ItemRow]) -> list[ItemRow]:
    """What must agree for two sides to be the same rows: all of them but the time they took."""
    return [replace(row, seconds=0.0) for row in sorted_rows(rows)]


def _pairing(a: _Side, b: _Side) -> Pairing:
    """The finest level at which at least half of the smaller side finds partners; else whatever is shared."""
    best: Pairing = "none"
    for level in LEVELS:
        keys_a, keys_b = a.keys[level], b.keys[level]
        shared = len(keys_a & keys_b)
        if shared >= min(len(keys_a), len(keys_b)) / 2:
            return level
        if shared and best == "none":
            best = level
    return best


def _by_key(sample: Sample, pairing: Pairing) -> dict[tuple[Hashable, ...], float]:
    key = LEVELS[pairing]
    values: dict[tuple[Hashable, ...], list[float]] = {}
    for item, value in zip(sample.items, sample.values, strict=True):
        values.setdefault(key(item), []).append(value)
    return {name: sum(group) / len(group) for name, group in values.items()}


def _not_comparable(a: Sample, b: Sample, random_weights: bool) -> str:
    if not random_weights and (a.random_weights or b.random_weights):
        return "made with untrained (random) weights, which say nothing about quality"
    if not (a.values and b.values):
        return f"the {'second' if a.values else 'first'} side has no value"
    if a.labels != b.labels:
        return f"measured by {_named(a)} on one side and {_named(b)} on the other"
    if a.weights != b.weights:
        return "measured with different weight files"
    if a.banks != b.banks:
        return "measured against other people: the two runs hold different identities"
    if len(a.labels) > 1 or len(a.weights) > 1 or len(a.banks) > 1:
        return "measured by several backends or weight files, or against several sets of people, within one side"
    return ""


def _named(sample: Sample) -> str:
    return " + ".join(sample.labels) or "an unnamed backend"


def _prompt(item: Item) -> Hashable:
    return item.prompt if item.prompt_index is None else item.prompt_index


def _notes(pairing: Pairing) -> tuple[str, ...]:
    how = {
        "clip": "Clips are paired by identity, prompt and seed.",
        "prompt": "Seeds differ, so clips are paired by identity and prompt (clips of the same pair averaged).",
        "identity": "Prompts differ, so only the means of each identity are paired.",
        "none": "The two sides share no identity, so nothing can be paired.",
    }[pairing]
    return (
        how,
        "Differences are A minus B with 95 % intervals by identity; p the larger of two tests by identity "
        "(signs flipped, studentised bootstrap); Holm-adjusted over all tests shown together.",
    )
