"""Which columns track what people say? Rank correlation of a metric with votes, resampling raters and identities."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.reports.numbers.people.crossed import crossed_picks, few_note, numbered
from mmbench.reports.numbers.resample import Float64s
from mmbench.reports.numbers.stats import LEVEL

TRACKING_RESAMPLES = 1_000
FEWEST = 5
"""Units below which no correlation is given."""


@dataclass(frozen=True)
class Tracking:
    """Spearman's correlation of one metric with people over `n` clips (or pairs), 95 % interval.

    Above 0: the metric orders as people do; a metric of which lower is better has been turned round. None where it
    cannot be known; `note` says why.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""

    @property
    def verdict(self) -> str:
        """What the interval says: "tracks", "against", or "undecided"."""
        if self.low is None or self.high is None:
            return "undecided"
        return "tracks" if self.low > 0 else "against" if self.high < 0 else "undecided"


@dataclass(frozen=True)
class Opinions:
    """What people said: `scores[k]` by `raters[k]` of the unit `units[k]`, a place in `clusters` (its identity).

    `mirrored`: a unit is a pair, its score from 0 to 1 is that of the first clip, and which one is first means nothing.
    """

    scores: Sequence[float]
    raters: Sequence[Hashable]
    units: Sequence[int]
    clusters: Sequence[Hashable]
    mirrored: bool = False


def track(
    opinions: Opinions,
    metrics: Mapping[str, Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = TRACKING_RESAMPLES,
) -> list[Tracking]:
    """Agreement of every metric with people, in the order given.

    `metrics` hold one value a unit (of a pair: first minus second), higher being better, NaN where there is none: those
    units are left out for that metric, as are units nobody judged. A unit's opinion is the mean of its scores. Raises
    ValueError where lengths do not fit, a unit is no place in `clusters`, or a score is not finite or, of pairs, out of
    [0, 1].
    """
    _check(opinions, metrics)
    raters, n_raters = numbered(opinions.raters)
    clusters, n_clusters = numbered(opinions.clusters)
    units, scores = np.asarray(opinions.units, dtype=np.int64), np.asarray(opinions.scores, dtype=np.float64)
    if opinions.mirrored:  # about 0, so that turning a pair negates its mean to the last bit and ties stay ties
        scores = scores - 0.5
    size = len(clusters)
    values = {name: np.asarray(column, dtype=np.float64) for name, column in metrics.items()}

    def rho(opinion: Float64s, copies: NDArray[np.int64], column: Float64s) -> float:
        usable = np.isfinite(opinion) & np.isfinite(column)
        chosen = np.repeat(np.arange(size), np.where(usable, copies, 0))
        x, y = column[chosen], opinion[chosen]
        if opinions.mirrored:
            x, y = np.concatenate([x, -x]), np.concatenate([y, -y])
        return _spearman(x, y)

    def means(weights: Float64s) -> Float64s:
        total = np.bincount(units, weights * scores, size)
        count = np.bincount(units, weights, size)
        return np.asarray(np.divide(total, count, out=np.full(size, np.nan), where=count > 0), dtype=np.float64)

    said = means(np.ones(len(scores)))
    once = np.ones(size, dtype=np.int64)
    draws: list[tuple[Float64s, NDArray[np.int64]]] = []
    for by_rater, by_cluster in crossed_picks(n_raters, n_clusters, seed, resamples) if len(scores) else ():
        for first, second in zip(by_rater, by_cluster, strict=True):
            draws.append((means(first[raters]), second[clusters].astype(np.int64)))
    found = []
    for name, column in values.items():
        n = int((np.isfinite(said) & np.isfinite(column)).sum())
        value = rho(said, once, column) if n >= FEWEST else float("nan")
        if np.isnan(value):
            why = f"{n} units with a value" if n < FEWEST else "all values or all opinions are equal"
            found.append(Tracking(name, None, None, None, n, why))
            continue
        drawn = np.array([rho(opinion, copies, column) for opinion, copies in draws])
        drawn = drawn[np.isfinite(drawn)]
        low, high = (
            np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(drawn) > len(draws) // 2 else (None, None)
        )
        note = few_note(n_raters, n_clusters) if low is not None else "no interval: too few identities"
        found.append(Tracking(name, value, _float(low), _float(high), n, note))
    return found


def _check(opinions: Opinions, metrics: Mapping[str, Sequence[float]]) -> None:
    scores, size = opinions.scores, len(opinions.clusters)
    if not len(scores) == len(opinions.raters) == len(opinions.units):
        raise ValueError(f"{len(scores)} scores, {len(opinions.raters)} raters, {len(opinions.units)} units")
    if any(not 0 <= unit < size for unit in opinions.units):
        raise ValueError(f"a unit is none of the {size} that have a cluster")
    if not np.isfinite(np.asarray(scores, dtype=np.float64)).all():
        raise ValueError("a score is not finite; missing ones must be left out")
    if opinions.mirrored and any(not 0 <= score <= 1 for score in scores):
        raise ValueError("scores of pairs are from 0 to 1")
    if wrong := next((name for name, column in metrics.items() if len(column) != size), None):
        raise ValueError(f"{wrong}: {len(metrics[wrong])} values for {size} units")


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _spearman(x: Float64s, y: Float64s) -> float:
    """Pearson's correlation of mid-ranks; NaN where one side does not vary."""
    if len(x) < 2:
        return float("nan")
    first, second = (_ranks(side) for side in (x, y))
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size > 1e-12 * len(x) else float("nan")


def _ranks(values: Float64s) -> Float64s:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
