"""Statistics that know their unit: the identity. Clips of one identity are not independent, so every interval
and every test resamples or flips whole identities (clusters), never single clips.

Choice of interval, by simulation of 6,000 sets (a smaller one is in the tests): with 50 clusters of 4 clips the plain
percentile bootstrap covers 93.0-94.9 %, BCa 92.7-95.6 %, the expanded percentile interval (Hesterberg, "What Teachers
Should Know About the Bootstrap", 2015) 94.0-95.6 % over normal, skewed, heavy-tailed and yes/no values, and it stays
inside the range of the metric. With fewer than 8 clusters the bootstraps are too short (73 % at 3 normal clusters),
the cluster-robust t interval is not (95 %); skewed or yes/no values of few clusters get less from either.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 10_000
MIN_BOOTSTRAP_CLUSTERS = 8
MAX_EXACT_CLUSTERS = 14  # 2**14 sign patterns are enumerated, above that they are drawn

Bounds = tuple[float | None, float | None]
Float64s = NDArray[np.float64]
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
    """Mean of paired differences with its interval and the two-sided p of the sign-flip test by cluster.

    `smallest_p` is the smallest p that so few clusters can give: above 0.05 no result could be significant.
    """

    difference: Estimate
    p: float
    smallest_p: float
    exact: bool


def cluster_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    bounds: Bounds = (None, None),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean of `values` with a 95 % interval that resamples `clusters`.

    8 clusters or more: expanded percentile bootstrap; 2 to 7: t interval with the cluster-robust standard error.
    Values that all lie on one of the metric's `bounds` (every clip dynamic): exact binomial interval with the
    cluster as unit, since P(X = 1) <= E[X] for X in [0, 1]. One cluster, or equal values off the bounds: no
    interval. Intervals are cut to `bounds`. Raises ValueError when there is no value or one is not finite.
    """
    sums, counts = _cluster_sums(values, clusters)
    mean = float(sums.sum() / counts.sum())
    n, n_clusters = int(counts.sum()), len(sums)
    if n_clusters == 1:
        what = "one clip" if n == 1 else f"{n} clips of one identity"
        return Estimate(mean, None, None, n, n_clusters, "none", f"no interval: {what}")
    if min(values) == max(values):
        mean = float(values[0])  # the sum of equal values is rounded, the value is not
        low, high = _exact_at_bound(mean, n_clusters, bounds)
        if low is None:
            return Estimate(mean, None, None, n, n_clusters, "none", "no interval: all values are equal")
        return Estimate(mean, low, high, n, n_clusters, "exact")
    if n_clusters < MIN_BOOTSTRAP_CLUSTERS:
        half = _t_quantile(n_clusters) * _cluster_error(sums, counts)
        low, high = mean - half, mean + half
        return Estimate(mean, *_cut(low, high, bounds), n, n_clusters, "t", f"t interval, {n_clusters} identities")
    low, high = _bootstrap_interval(sums, counts, seed, resamples)
    return Estimate(mean, *_cut(low, high, bounds), n, n_clusters, "bootstrap")


def paired_test(
    differences: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairedTest:
    """Are paired differences zero on average? Under the hypothesis of no difference the two models can be
    swapped within an identity, so the sign of each cluster's sum is free: every pattern of signs is equally
    likely (all 2^G patterns up to 14 clusters, `resamples` random ones above, the observed one included).

    Raises ValueError when there is no difference or one is not finite.
    """
    estimate = cluster_mean(differences, clusters, seed=seed, resamples=resamples)
    sums, _ = _cluster_sums(differences, clusters)
    observed = abs(float(sums.sum()))
    exact = len(sums) <= MAX_EXACT_CLUSTERS
    signs = _all_signs(len(sums)) if exact else _random_signs(len(sums), seed, resamples)
    tolerance = 1e-12 * float(np.abs(sums).sum())  # equal up to rounding counts as equal
    hits = int((np.abs(signs @ sums) >= observed - tolerance).sum())
    p = hits / len(signs) if exact else (hits + 1) / (len(signs) + 1)
    return PairedTest(estimate, min(p, 1.0), smallest_p(len(sums), resamples), exact)


def smallest_p(n_clusters: int, resamples: int = RESAMPLES) -> float:
    """The smallest p that `paired_test` can give for so many clusters, whatever the values."""
    return min(2.0 ** (1 - n_clusters), 1.0) if n_clusters <= MAX_EXACT_CLUSTERS else 1 / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979), in the order given: multiply the i-th smallest of m by m - i,
    keep the sequence rising, cut at 1. Comparing the result with 0.05 bounds the chance of any false claim.
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


def _bootstrap_interval(sums: Float64s, counts: Float64s, seed: int, resamples: int) -> tuple[float, float]:
    """Percentiles of the resampled mean, taken a little further out than 2.5 %: by sqrt(G / (G - 1)) for the
    bootstrap's too small variance and by t instead of the normal quantile."""
    from scipy.stats import norm

    n_clusters = len(sums)
    picks = np.random.default_rng(seed).integers(0, n_clusters, (resamples, n_clusters))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    tail = float(norm.cdf(-np.sqrt(n_clusters / (n_clusters - 1)) * _t_quantile(n_clusters)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _exact_at_bound(value: float, n_clusters: int, bounds: Bounds) -> tuple[float, float] | tuple[None, None]:
    lowest, highest = bounds
    if lowest is None or highest is None or value not in (lowest, highest):
        return None, None
    reach = (highest - lowest) * (1 - ((1 - LEVEL) / 2) ** (1 / n_clusters))
    return (lowest, lowest + reach) if value == lowest else (highest - reach, highest)


def _cut(low: float, high: float, bounds: Bounds) -> tuple[float, float]:
    lowest, highest = bounds
    return (low if lowest is None else max(low, lowest)), (high if highest is None else min(high, highest))


def _all_signs(n_clusters: int) -> Float64s:
    """All 2^G rows of +1/-1, shape (2^G, G)."""
    bits = (np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


def _random_signs(n_clusters: int, seed: int, resamples: int) -> Float64s:
    return np.random.default_rng(seed).choice([-1.0, 1.0], (resamples, n_clusters))
