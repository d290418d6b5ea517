"""What an experiment says: its measurements, the curves drawn from them, the numbers and the claims they decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmbench.reports.numbers.stats import Estimate, cluster_mean


@dataclass(frozen=True)
class Observation:
    """One measurement: of `person`, in `series`, at `level`, metric and value. `x` where a person's own x differs from
    the level (a face's width in pixels at a picture's scale)."""

    person: str
    series: str
    level: float
    metric: str
    value: float
    x: float | None = None

    @property
    def at(self) -> float:
        """Where it is drawn."""
        return self.level if self.x is None else self.x


@dataclass(frozen=True)
class Number:
    """A summary over people with its 95 % interval (None: a single person, or no spread)."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    decimals: int = 3

    def text(self) -> str:
        """`0.98 (0.95 to 1.00)`, a dash where there is no value."""
        if not np.isfinite(self.value):
            return "–"
        d = self.decimals
        span = "" if self.low is None or self.high is None else f" ({self.low:.{d}f} to {self.high:.{d}f})"
        return f"{self.value:.{d}f}{span}"


@dataclass(frozen=True)
class Claim:
    """A sentence that the measurements decide."""

    text: str
    holds: bool


@dataclass(frozen=True)
class Curve:
    """Rows drawn as one line: the mean over people with its interval, each person a dot. `truth` is drawn dashed."""

    label: str
    rows: tuple[Observation, ...]
    colour: int = 0
    truth: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line for comparison, named at its right end or at its `left`."""

    label: str
    value: float
    left: bool = False


@dataclass(frozen=True)
class Panel:
    """One coordinate system. `scatter` draws dots alone, with the diagonal."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    levels: tuple[Level, ...] = ()
    scatter: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of numbers drawn as colours: `cells[i][j]` of row i and column j, None where there is no value."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Finding:
    """Everything the page shows of one experiment."""

    name: str
    title: str
    how: str
    panels: tuple[Panel, ...]
    numbers: tuple[Number, ...]
    claims: tuple[Claim, ...]
    conclusion: str
    grids: tuple[Grid, ...] = ()


def pick(rows: Iterable[Observation], metric: str, series: str | None = None) -> tuple[Observation, ...]:
    """Rows of one metric (and series)."""
    return tuple(row for row in rows if row.metric == metric and series in (None, row.series))


def mean_at(rows: Sequence[Observation], level: float) -> float:
    """Mean over people at a level; NaN where nobody has a value."""
    values = [row.value for row in rows if row.level == level]
    return float(np.mean(values)) if values else float("nan")


def by_person(rows: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Rows of each person, by level."""
    found: dict[str, list[Observation]] = {}
    for row in sorted(rows, key=lambda row: (row.person, row.level)):
        found.setdefault(row.person, []).append(row)
    return found


def spearman(label: str, rows: Sequence[Observation], magnitude: bool = False) -> Number:
    """Mean over people of Spearman's rank correlation of value and level (its magnitude, for a symmetric cause)."""
    from scipy.stats import spearmanr

    def rho(own: list[Observation]) -> float:
        xs = [abs(row.at) if magnitude else row.at for row in own]
        return float(spearmanr(xs, [row.value for row in own]).statistic)

    values = {p: rho(own) for p, own in by_person(rows).items() if len({row.value for row in own}) > 1}
    return over_people(label, values, (-1.0, 1.0))


def slope(label: str, rows: Sequence[Observation], decimals: int = 3, magnitude: bool = False) -> Number:
    """Mean over people of the least-squares slope of value over x."""
    values = {}
    for person, own in by_person(rows).items():
        x = np.array([abs(row.at) if magnitude else row.at for row in own])
        if np.ptp(x) > 0:
            values[person] = float(np.polyfit(x, [row.value for row in own], 1)[0])
    return over_people(label, values, decimals=decimals)


def gap(label: str, rows: Sequence[Observation], start: float, end: float, decimals: int = 3) -> Number:
    """Mean over people of value at level `end` minus value at level `start`."""
    values = {}
    for person, own in by_person(rows).items():
        at = {row.level: row.value for row in own}
        if start in at and end in at:
            values[person] = at[end] - at[start]
    return over_people(label, values, decimals=decimals)


def deviation(label: str, rows: Sequence[Observation], decimals: int = 3) -> Number:
    """Standard deviation of values between people; NaN with fewer than two."""
    values = [row.value for row in rows]
    return Number(label, float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"), decimals=decimals)


def over_people(
    label: str,
    values: dict[str, float],
    bounds: tuple[float | None, float | None] = (None, None),
    decimals: int = 3,
) -> Number:
    """Mean of one value a person with its 95 % interval; NaN where there is none."""
    if not values:
        return Number(label, float("nan"), decimals=decimals)
    found: Estimate = cluster_mean(list(values.values()), list(values), bounds=bounds)
    if min(values.values()) == max(values.values()):  # an exact interval is for shares; one value of all is no share
        return Number(label, found.mean, decimals=decimals)
    return Number(label, found.mean, found.low, found.high, decimals)
