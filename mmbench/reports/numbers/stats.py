"""Statistics that know their unit: the identity. Clips of one identity are not independent, so every interval
and every test resamples or flips whole identities (clusters), never single clips.

Choice of interval, by simulation (a smaller one is in the tests). 50 identities of 1 to 4 clips: the studentised
bootstrap covers 94-96 % of normal values and shares; 92-94 % where the values are log-normal with a spread (log-sd) of
0.9, 91-93 % at 1.3, as facial motion of real clips is. Percentile and t intervals cover 90-91 % and 83-90 % there; no
method knows a tail that it has not seen. Such values of 20 identities get 90-92 %, of 8 identities 85-91 %. Yes/no
values have an exact binomial interval whose size counts for less where clips of an identity agree (Korn and Graubard
1998), and so have shares of which all but a few identities lie on a bound. Below 8 identities the t interval is the
only one that holds for normal values (95 %); skewed ones get less.

The test of paired differences claims only what two tests agree on: signs flipped by identity, which is exact where the
differences are symmetric, and the studentised bootstrap, which is less misled where one side alone is skewed. At a
level of 5 % and 50 identities it claims 3-5 % of equal means where the differences are symmetric; where one side alone
is log-normal it claims 6 % (log-sd 0.9) to 9 % (1.3), signs alone 8 % to 16 %. So a p close to 0.05 between a skewed
and an even model is to be read with care.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mmbench.reports.numbers.resample import Float64s, all_signs, picks, random_signs

LEVEL = 0.95
RESAMPLES = 10_000
MIN_BOOTSTRAP_CLUSTERS = 8
"""Below so many clusters a resample repeats too few of them: the t interval then."""

MAX_EXACT_CLUSTERS = 14  # 2**14 sign patterns are enumerated, above that they are drawn

Bounds = tuple[float | None, float | None]
Method = Literal["bootstrap", "t", "exact", "none"]


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` values in `n_clusters` clusters with its 95 % interval.

    `low` and `high` are None, and `note` says why, when the data cannot tell how uncertain the mean is.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    method: Method
    note: str = ""


@dataclass(frozen=True)
class PairedTest:
    """Mean of paired differences with its interval and the two-sided p by cluster.

    `smallest_p` is the smallest p that so few clusters can give: above 0.05 no result could be significant.
    """

    difference: Estimate
    p: float
    smallest_p: float
    exact: bool


@dataclass(frozen=True)
class _Clusters:
    """Sum and number of the values of each cluster, and how they are resampled."""

    sums: Float64s
    counts: Float64s
    seed: int
    resamples: int

    @cached_property
    def studentised(self) -> Float64s:
        """(resampled mean - mean) / its own standard error, over all resamples; infinite where that error is 0."""
        return _studentised(self.sums, self.counts, self.seed, self.resamples)


def cluster_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    bounds: Bounds = (None, None),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean of `values` with a 95 % interval that resamples `clusters`.

    Yes/no values, and shares of which a few among 8 clusters or more leave one of the metric's `bounds`: exact binomial
    interval. Else 8 clusters or more: studentised bootstrap; 2 to 7: t interval with the cluster-robust standard
    error. One cluster, equal values, or clusters whose means coincide, off the bounds: no interval, and `note` says
    so. Intervals are cut to `bounds`. Raises ValueError when there is no value or one is not finite.
    """
    return _estimate(values, _Clusters(*_cluster_sums(values, clusters), seed, resamples), bounds)


def _estimate(values: Sequence[float], clusters: _Clusters, bounds: Bounds) -> Estimate:
    sums, counts = clusters.sums, clusters.counts
    n, n_clusters = int(counts.sum()), len(sums)
    equal = min(values) == max(values)
    mean = float(values[0]) if equal else float(sums.sum() / counts.sum())  # a sum of equal values is rounded

    def none(why: str) -> Estimate:
        return Estimate(mean, None, None, n, n_clusters, "none", f"no interval: {why}")

    if n_clusters == 1:
        return none("one clip" if n == 1 else f"{n} clips of one identity")
    error = _cluster_error(sums, counts)
    level = error <= 1e-12 * float(np.abs(values).max())  # the identities' means coincide, up to rounding
    if (size := _binomial_size(values, sums, counts, bounds, None if level else error)) is not None:
        low, high = _binomial(mean, size, bounds)
        note = "" if equal or not level else "the identities' means coincide: exact binomial interval by identity"
        return Estimate(mean, low, high, n, n_clusters, "exact", note)
    if level:
        return none("all values are equal" if equal else "the identities' means coincide")
    if n_clusters < MIN_BOOTSTRAP_CLUSTERS:
        half = _t_quantile(n_clusters) * error
        note = f"t interval, {n_clusters} identities"
        return Estimate(mean, *_cut(mean - half, mean + half, bounds), n, n_clusters, "t", note)
    left, right = np.quantile(clusters.studentised, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    if not (np.isfinite(left) and np.isfinite(right)):
        return none("too few identities differ from the others")
    return Estimate(mean, *_cut(mean - right * error, mean - left * error, bounds), n, n_clusters, "bootstrap")


def difference_bounds(bounds: Bounds) -> Bounds:
    """The range of a difference of two values that lie within `bounds`."""
    low, high = bounds
    return (None, None) if low is None or high is None else (low - high, high - low)


def paired_test(
    differences: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    bounds: Bounds = (None, None),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairedTest:
    """Are paired differences zero on average? The larger p of two tests, so that either may be wrong about the tails.

    Signs: if the two models can be swapped within an identity, the sign of each cluster's sum is free (all 2^G
    patterns up to 14 clusters, `resamples` random ones above, the observed one included). Size: the mean over its
    cluster-robust standard error, against the studentised bootstrap (below 8 clusters against t). Where no random
    pattern or resample is as far out, p goes on below 1 / `resamples` by Hoeffding's bound and by t's tail.

    `bounds` are those of a difference; with them the size's p is no larger than Hoeffding's (1963): resamples of nearly
    constant differences (yes in 66 clips of 70) often have no error at all and would say that nothing is known.

    Raises ValueError when there is no difference or one is not finite.
    """
    by_cluster = _Clusters(*_cluster_sums(differences, clusters), seed, resamples)
    estimate = _estimate(differences, by_cluster, (None, None))
    if estimate.low is not None and estimate.high is not None:
        low, high = _cut(estimate.low, estimate.high, bounds)
        estimate = Estimate(estimate.mean, low, high, estimate.n, estimate.n_clusters, estimate.method, estimate.note)
    sums = by_cluster.sums
    of_size = min(_p_of_size(by_cluster), _p_within(sums, by_cluster.counts, bounds))
    p = max(_p_of_signs(sums, seed, resamples), of_size)
    return PairedTest(estimate, min(p, 1.0), smallest_p(len(sums), resamples), len(sums) <= MAX_EXACT_CLUSTERS)


def smallest_p(n_clusters: int, resamples: int = RESAMPLES) -> float:
    """The smallest p that `paired_test` can give for so many clusters, whatever the values."""
    if n_clusters <= MAX_EXACT_CLUSTERS:
        return min(2.0 ** (1 - n_clusters), 1.0)
    return min(1 / (resamples + 1), 2 * float(np.exp(-n_clusters / 2)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979), in the order given.

    Multiplies the i-th smallest of m by m - i, keeps the sequence rising, and cuts at 1. Comparing the result with 0.05
    bounds the chance of any false claim.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[Float64s, Float64s]:
    """Sum and count of the values of each cluster, clusters in sorted order so that row order does not matter."""
    if not values:
        raise ValueError("there is no value to average")
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; missing values must be left out and counted")
    groups: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(float(value))
    members = [sorted(groups[cluster]) for cluster in sorted(groups, key=repr)]
    return np.array([sum(group) for group in members]), np.array([float(len(group)) for group in members])


def _cluster_error(sums: Float64s, counts: Float64s) -> float:
    """Cluster-robust standard error of the mean, with the G / (G - 1) correction for few clusters."""
    residuals = sums - counts * (sums.sum() / counts.sum())
    scale = len(sums) / (len(sums) - 1)
    return float(np.sqrt(scale * (residuals**2).sum()) / counts.sum())


def _t_quantile(n_clusters: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, n_clusters - 1))


def _studentised(sums: Float64s, counts: Float64s, seed: int, resamples: int) -> Float64s:
    """The bootstrap's t: every resample measured by its own standard error, which is what carries the skew."""
    n_clusters, total = len(sums), sums.sum() / counts.sum()
    moments = np.stack([sums, counts, sums**2, sums * counts, counts**2], axis=1)
    found = []
    for weights in picks(n_clusters, seed, resamples):
        s, c, ss, sc, cc = (weights @ moments).T
        mean = s / c
        squares = ss - 2 * mean * sc + mean**2 * cc
        squares[squares <= 1e-12 * ss] = 0.0  # rounding of a resample whose clusters all have one mean
        error = np.sqrt(n_clusters / (n_clusters - 1) * squares) / c
        away = mean - total
        away[np.abs(away) <= 1e-12 * np.abs(total)] = 0.0
        without = np.where(away > 0, np.inf, np.where(away < 0, -np.inf, 0.0))  # a resample that has no error
        found.append(np.divide(away, error, out=without, where=error > 0))
    return np.concatenate(found)


def _p_of_signs(sums: Float64s, seed: int, resamples: int) -> float:
    observed, size = abs(float(sums.sum())), float(np.abs(sums).sum())
    least = observed - 1e-12 * size  # equal up to rounding counts as equal
    if len(sums) <= MAX_EXACT_CLUSTERS:
        return float((np.abs(all_signs(len(sums)) @ sums) >= least).mean())
    hits = sum(int((np.abs(signs @ sums) >= least).sum()) for signs in random_signs(len(sums), seed, resamples))
    p = (hits + 1) / (resamples + 1)
    return p if hits else min(p, 2 * float(np.exp(-(observed**2) / (2 * float((sums**2).sum())))))


def _p_of_size(clusters: _Clusters) -> float:
    """p of the mean over its error; 0 where the clusters' means coincide, since then only their number speaks."""
    from scipy.stats import t

    sums, counts = clusters.sums, clusters.counts
    mean, error = float(sums.sum() / counts.sum()), _cluster_error(sums, counts) if len(sums) > 1 else 0.0
    if error <= 1e-12 * abs(mean):
        return 0.0
    score, free = abs(mean) / error, len(sums) - 1
    if len(sums) < MIN_BOOTSTRAP_CLUSTERS:
        return 2 * float(t.sf(score, free))
    found = np.sign(mean) * clusters.studentised
    hits = int((found >= score).sum())
    p = 2 * (hits + 1) / (len(found) + 1)
    far = float(np.quantile(found, 0.999, method="inverted_cdf")) / float(t.ppf(0.999, free))
    return p if hits or not np.isfinite(far) else min(p, 2 * float(t.sf(score / max(far, 1.0), free)))


def _p_within(sums: Float64s, counts: Float64s, bounds: Bounds) -> float:
    """Hoeffding's p of the mean of independent clusters within `bounds`, of any distribution; 1 without them."""
    low, high = bounds
    if low is None or high is None:
        return 1.0
    mean, weights = float(sums.sum() / counts.sum()), counts / counts.sum()
    return min(1.0, 2 * float(np.exp(-2 * mean**2 / ((high - low) ** 2 * (weights**2).sum()))))


def _binomial_size(
    values: Sequence[float], sums: Float64s, counts: Float64s, bounds: Bounds, error: float | None
) -> float | None:
    """For how many independent yes/no draws the values may stand; None where they are neither such nor close to it.

    Yes/no values: as many as give the `error` seen, by t rather than normal quantiles; no more than there are clips,
    and no more than clusters where their means coincide (`error` None). Shares that all but a few of 8 clusters or more
    have on one bound: one draw a cluster, the widest of all shares with that mean.
    """
    from scipy.stats import norm

    lowest, highest = bounds
    if lowest is None or highest is None:
        return None
    n, n_clusters = float(counts.sum()), len(sums)
    if all(value in (lowest, highest) for value in values):
        if error is None:
            return float(n_clusters)
        if n == n_clusters:
            return n
        share = (float(sums.sum() / counts.sum()) - lowest) / (highest - lowest)
        alike = share * (1 - share) / (error / (highest - lowest)) ** 2
        ratio = float(norm.ppf((1 + LEVEL) / 2)) / _t_quantile(n_clusters)
        return min(n, alike * ratio**2)
    means = sums / counts
    off = min(int((means > lowest).sum()), int((means < highest).sum()))
    many = n_clusters >= MIN_BOOTSTRAP_CLUSTERS  # of fewer, one draw a cluster says next to nothing, and t is there
    return float(n_clusters) if many and off < min(MIN_BOOTSTRAP_CLUSTERS, n_clusters / 2) else None


def _binomial(mean: float, size: float, bounds: Bounds) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share of `size` draws, on the metric's scale."""
    from scipy.stats import beta

    lowest, highest = bounds
    assert lowest is not None and highest is not None
    reach = highest - lowest
    hits = (mean - lowest) / reach * size
    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, hits, size - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, size - hits)) if hits < size else 1.0
    return lowest + reach * low, lowest + reach * high


def _cut(low: float, high: float, bounds: Bounds) -> tuple[float, float]:
    lowest, highest = bounds
    low, high = float(low), float(high)
    return (low if lowest is None else max(low, lowest)), (high if highest is None else min(high, highest))
