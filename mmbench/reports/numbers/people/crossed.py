"""Means over two crossed kinds of chance: who judged, and whose clips were judged. Both are resampled at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.reports.numbers.resample import Float64s, picks
from mmbench.reports.numbers.stats import LEVEL

CROSSED_RESAMPLES = 2_000
FEW = 8
"""Raters or identities below which an interval is told to be too narrow."""


@dataclass(frozen=True)
class CrossedMean:
    """A mean of `n` values by `n_raters` over `n_clusters` identities, with its 95 % interval.

    `low` and `high` are None, and `note` says why, where the data cannot tell.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    n_raters: int
    n_clusters: int
    note: str = ""


def crossed_mean(
    values: Sequence[float],
    raters: Sequence[Hashable],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = CROSSED_RESAMPLES,
) -> CrossedMean:
    """Mean of values with a 95 % percentile interval that resamples raters and identities, each value by both.

    The pigeonhole bootstrap of Owen (2007): it errs on the wide side, where resampling values alone, or raters alone,
    errs on the narrow one. Raises ValueError when there is no value or one is not finite.
    """
    if not len(values) == len(raters) == len(clusters):
        raise ValueError(f"{len(values)} values, {len(raters)} raters, {len(clusters)} clusters")
    if not values or not np.isfinite(values).all():
        raise ValueError("there is no value to average" if not values else "a value is not finite")
    rows, n_raters = numbered(raters)
    columns, n_clusters = numbered(clusters)
    sums, counts = np.zeros((n_raters, n_clusters)), np.zeros((n_raters, n_clusters))
    np.add.at(sums, (rows, columns), np.asarray(values, dtype=np.float64))
    np.add.at(counts, (rows, columns), 1.0)
    mean = float(sums.sum() / counts.sum())

    def result(low: float | None, high: float | None, note: str) -> CrossedMean:
        return CrossedMean(mean, low, high, len(values), n_raters, n_clusters, note)

    if n_raters == 1 and n_clusters == 1:
        return result(None, None, "no interval: one rater, one identity")
    if min(values) == max(values):
        return result(None, None, "no interval: all values are equal")
    found = []
    for first, second in crossed_picks(n_raters, n_clusters, seed, resamples):
        total = ((first @ sums) * second).sum(axis=1)
        weight = ((first @ counts) * second).sum(axis=1)
        found.append(total[weight > 0] / weight[weight > 0])
    low, high = np.quantile(np.concatenate(found), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return result(float(low), float(high), few_note(n_raters, n_clusters))


def crossed_picks(n_first: int, n_second: int, seed: int, resamples: int) -> Iterator[tuple[Float64s, Float64s]]:
    """How often each of the first and of the second kind is drawn: pairs of pieces (R, n_first), (R, n_second)."""
    first = np.concatenate(list(picks(n_first, 2 * seed, resamples)))
    second = np.concatenate(list(picks(n_second, 2 * seed + 1, resamples)))
    step = 250
    for start in range(0, resamples, step):
        yield first[start : start + step], second[start : start + step]


def numbered(names: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    """Places of names among the sorted distinct ones, and how many these are."""
    places = {name: place for place, name in enumerate(sorted(set(names), key=repr))}
    return np.array([places[name] for name in names], dtype=np.int64), len(places)


def few_note(n_raters: int, n_clusters: int) -> str:
    """What is to be told where one kind has too few members to be resampled well; "" else."""
    few = [f"{count} {what}" for count, what in ((n_raters, "raters"), (n_clusters, "identities")) if count < FEW]
    return f"only {' and '.join(few)}: the interval is too narrow" if few else ""
