"""The overall verdict on two models: paired tests on a few guarded columns, and no number that others could move.

A guarded column is one that a video of the right person has to satisfy. Beyond `enough` more of it is not better: a
copied photo is more alike than any honest clip, and a trembling face moves more than a talking one. A model is better
than another where it is decided to be better in some guarded column and worse in none; where each has its own, or
nothing is decided, the verdict is "not decided". A verdict reads two models' clips and nothing else, so it stays
whoever joins the table; Holm's correction spans the guarded columns of the pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.comparison import Comparison, compare_apart
from mmbench.reports.numbers.samples import Sample, Samples

MIN_COVERAGE = 0.5
"""A model that has a guarded column on less than half of its clips cannot be better than one that has it."""


@dataclass(frozen=True)
class GuardedColumn:
    """A guarded column: values beyond `enough` count as `enough`; None where there is no such limit."""

    metric: str
    enough: float | None = None
    why: str = ""


GUARDS = (
    GuardedColumn("id_margin", 0.06, "identity against impostors"),
    GuardedColumn("face_rate", None, "a face to be seen"),
    GuardedColumn("fm_articulation", 0.06, "a face that changes, which no moved picture does"),
    GuardedColumn("motion_smoothness", 0.5, "steady motion"),
    GuardedColumn("copy_angle", 0.3, "no copy of the reference picture"),
)
"""The declared set. `enough` of the ID margin is what clips of the right person reach on rendered people (0.087 on
average; the published clips of the paper's systems: 0.077) and those of somebody else do not (0.013); of the
articulation, what a natural performance exceeds (0.15 on average, 19 of 20 above 0.05) and a face at rest under a
moving camera does not (0.04; photographs 0.01); of smoothness, where lower is better, the limit of the success rates;
of the copy angle, lower too, what 95 of 100 honest clips stay below (0.31; a face that never moves reaches 0.59, copied
photographs 0.63 on average and 0.34 at the least). They were chosen on the bundled control clips;
`tests/studies/test_fresh_controls.py` tries them on people and clips made anew."""


def guards_named(names: Sequence[str]) -> tuple[GuardedColumn, ...]:
    """Guards of these metrics, without a limit where the declared set has none; the declared set for no name."""
    declared = {guard.metric: guard for guard in GUARDS}
    return tuple(declared.get(name, GuardedColumn(name)) for name in names) or GUARDS


@dataclass(frozen=True)
class Overall:
    """The verdict on one pair: `winner` is None where it is not decided. `columns` are the titles that say why, and
    `against` those that speak for the other side.
    """

    a: str
    b: str
    winner: str | None
    columns: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    @property
    def loser(self) -> str | None:
        """The other one of a decided pair."""
        return None if self.winner is None else self.b if self.winner == self.a else self.a


@dataclass(frozen=True)
class Verdicts:
    """All pairs of a run. `guards` are the titles of the guarded columns measured, `unmeasured` those of the others."""

    models: tuple[str, ...]
    pairs: tuple[Overall, ...]
    guards: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()

    def better_than(self, model: str) -> tuple[Overall, ...]:
        """Pairs that `model` wins."""
        return tuple(pair for pair in self.pairs if pair.winner == model)

    def worse_than(self, model: str) -> tuple[Overall, ...]:
        """Pairs that `model` loses."""
        return tuple(pair for pair in self.pairs if pair.loser == model)

    def undecided(self, model: str) -> tuple[Overall, ...]:
        """Pairs of `model` without a verdict."""
        return tuple(pair for pair in self.pairs if pair.winner is None and model in (pair.a, pair.b))

    @cached_property
    def depth(self) -> dict[str, int]:
        """The longest chain of verdicts above each model: 0 where nobody is better.

        Verdicts are tests and may go in a circle; models of one circle stand level. A second copy of a model adds no
        step to any chain.
        """
        above = self._above()
        strictly = {name: {other for other in above[name] if name not in above[other]} for name in self.models}
        found: dict[str, int] = {}
        for name in sorted(self.models, key=lambda name: len(strictly[name])):  # those above have fewer above them
            found[name] = 1 + max((found[other] for other in strictly[name]), default=-1)
        return found

    def _above(self) -> dict[str, set[str]]:
        """Everybody from whom decided pairs lead down to each model."""
        above = {name: {str(pair.winner) for pair in self.worse_than(name)} for name in self.models}
        for middle in self.models:
            for name in self.models:
                if middle in above[name]:
                    above[name] |= above[middle]
        return above


NO_VERDICTS = Verdicts((), ())


def overall(
    samples: Samples,
    facts: Mapping[str, MetricFacts],
    guards: Sequence[GuardedColumn] = GUARDS,
    *,
    random_weights: bool = False,
    seed: int = 0,
) -> Verdicts:
    """The verdicts of all pairs of models. Guarded columns that nobody measured are left out of the tests and named."""
    known = [guard for guard in guards if guard.metric in facts and facts[guard.metric].scope == "clip"]
    measured = [guard for guard in known if any(part.values for part in samples.of_metric(guard.metric))]
    chosen = {guard.metric: _capped_facts(facts[guard.metric], guard.enough) for guard in measured}
    limits = {guard.metric: guard.enough for guard in measured}
    capped = replace(
        samples,
        by_key={
            key: _capped(sample, facts[key[1]], limits[key[1]])
            for key, sample in samples.by_key.items()
            if key[1] in chosen
        },
    )
    pairs = compare_apart(capped, chosen, random_weights=random_weights, seed=seed) if chosen else ()
    return Verdicts(
        samples.models,
        tuple(_verdict(pair, capped) for pair in pairs),
        tuple(fact.title for fact in chosen.values()),
        tuple(facts[guard.metric].title for guard in known if guard not in measured),
    )


def _capped_facts(facts: MetricFacts, enough: float | None) -> MetricFacts:
    """With the range that capped values can have: where nearly all of them are `enough`, only that decides a test."""
    if enough is None:
        return facts
    low, high = facts.range
    return replace(facts, range=(low, enough) if facts.higher_is_better else (enough, high))


def _capped(sample: Sample, facts: MetricFacts, enough: float | None) -> Sample:
    if enough is None:
        return sample
    best = min if facts.higher_is_better else max
    return replace(sample, values=tuple(best(value, enough) for value in sample.values))


def _verdict(pair: Comparison, samples: Samples) -> Overall:
    won = {side: tuple(row.facts.title for row in pair.differences if row.verdict == f"{side} better") for side in "ab"}
    names = {"a": pair.name_a, "b": pair.name_b}
    for side, other in (("a", "b"), ("b", "a")):
        if won[side] and not won[other] and not _hides(names[side], names[other], samples):
            return Overall(pair.name_a, pair.name_b, names[side], won[side])
    return Overall(pair.name_a, pair.name_b, None, won["a"], won["b"])


def _hides(model: str, other: str, samples: Samples) -> bool:
    """Whether `model` lacks a guarded column that `other` has: it could win by failing."""
    metrics = {metric for _, metric in samples.by_key}
    return any(_covered(samples.get(other, metric)) and not _covered(samples.get(model, metric)) for metric in metrics)


def _covered(sample: Sample | None) -> bool:
    return sample is not None and len(sample.values) >= MIN_COVERAGE * sample.n_total and bool(sample.values)
