"""Krippendorff's alpha: how far raters agree beyond chance, for any number of raters and with gaps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mmbench.reports.numbers.resample import Float64s, picks
from mmbench.reports.numbers.stats import LEVEL, RESAMPLES

Level = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True)
class Alpha:
    """`value` is 1 for full agreement, 0 for none beyond chance, below 0 for systematic disagreement.

    `low` and `high` bound its 95 % interval, units resampled by cluster. None where it cannot be known:
    `note` says why.
    `n_units` have two values or more, `n_values` in all.
    """

    value: float | None
    low: float | None
    high: float | None
    n_units: int
    n_values: int
    note: str = ""


def krippendorff_alpha(
    units: Sequence[Sequence[float]],
    level: Level = "interval",
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Alpha:
    """Alpha of the values that raters gave to each unit, in any order; a missing one is left out.

    Definition: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): 1 - observed / expected disagreement,
    from the coincidences of values within units, units of one value left out. `level` is the squared difference of two
    values: 0 or 1, of ranks as they were used, of values, or of values over their sum. `clusters` (one a unit, by
    default each its own) are resampled for the interval. Raises ValueError for a value that is not finite, for negative
    ones at the ratio level, and for a level that is none of the four.
    """
    if level not in get_args(Level):
        raise ValueError(f"there is no level {level!r}, only {', '.join(get_args(Level))}")
    if clusters is not None and len(clusters) != len(units):
        raise ValueError(f"{len(units)} units but {len(clusters)} clusters")
    pairable = [place for place, unit in enumerate(units) if len(unit) >= 2]
    used = [np.asarray(units[place], dtype=np.float64) for place in pairable]
    total = sum(map(len, used))
    if not used:
        return Alpha(None, None, None, 0, 0, "no unit was judged twice")
    values = np.concatenate(used)
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; missing values must be left out")
    if level == "ratio" and values.min() < 0:
        raise ValueError("the ratio level needs values of 0 and above")
    categories = np.unique(values)
    counts = np.stack([(unit[:, None] == categories).sum(axis=0) for unit in used]).astype(np.float64)
    coincidences = _coincidences(counts)
    (value,) = _alphas(coincidences.sum(axis=0)[None], categories, level)
    if np.isnan(value):
        return Alpha(None, None, None, len(used), total, "all values are equal: agreement cannot be told from habit")
    named = [place if clusters is None else clusters[place] for place in pairable]
    low, high = _interval(coincidences, named, (categories, level), seed, resamples)
    note = "" if low is not None else "no interval: too few units, or resamples without any variation"
    return Alpha(float(value), low, high, len(used), total, note)


def _coincidences(counts: Float64s) -> Float64s:
    """(U, V) counts of values in units to (U, V, V) coincidences: ordered pairs of different raters' values."""
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs -= counts[:, :, None] * np.eye(counts.shape[1])
    return np.asarray(pairs / (counts.sum(axis=1) - 1)[:, None, None])


def _alphas(coincidences: Float64s, categories: Float64s, level: Level) -> Float64s:
    """Alpha of each (V, V) table of coincidences; NaN where no values differ."""
    margins = coincidences.sum(axis=2)
    total = margins.sum(axis=1)
    squares = _squares(margins, categories, level)
    observed = (coincidences * squares).sum(axis=(1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * squares).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (total - 1) * observed / expected, np.nan)


def _squares(margins: Float64s, categories: Float64s, level: Level) -> Float64s:
    """Squared differences (., V, V) of the values at a level; ordinal ones depend on how often values were used."""
    apart = categories[:, None] - categories[None, :]
    if level == "nominal":
        return np.asarray((apart != 0)[None], dtype=np.float64)
    if level == "interval":
        return np.asarray(apart[None] ** 2)
    if level == "ratio":
        both = categories[:, None] + categories[None, :]
        return np.asarray(np.divide(apart, both, out=np.zeros_like(apart), where=both > 0)[None] ** 2)
    middles = margins.cumsum(axis=1) - margins / 2  # the ranks between two values are those between their middles
    return np.asarray((middles[:, :, None] - middles[:, None, :]) ** 2)


def _interval(
    coincidences: Float64s,
    clusters: Sequence[Hashable],
    scale: tuple[Float64s, Level],
    seed: int,
    resamples: int,
) -> tuple[float | None, float | None]:
    names = {name: place for place, name in enumerate(sorted(set(clusters), key=repr))}
    if len(names) < 2:
        return None, None
    size = coincidences.shape[1]
    sums = np.zeros((len(names), size * size))
    np.add.at(sums, [names[name] for name in clusters], coincidences.reshape(len(coincidences), -1))
    found = np.concatenate(
        [_alphas((weights @ sums).reshape(-1, size, size), *scale) for weights in picks(len(names), seed, resamples)]
    )
    if np.isnan(found).mean() > 1 - LEVEL:
        return None, None
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
