"""Bradley and Terry's strengths from paired votes: a win counts 1, a draw one half."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.reports.numbers.people.crossed import CROSSED_RESAMPLES, crossed_picks, few_note, numbered
from mmbench.reports.numbers.resample import Float64s
from mmbench.reports.numbers.stats import LEVEL

PRIOR = 0.5
"""Wins, and losses, that every model is given against an average one: finite strengths for who never lost."""

STEPS = 100
LONGEST_STEP = 2.0


@dataclass(frozen=True)
class PairVote:
    """One vote: `score` is what the first model got of 1. `cluster` is the identity that both clips show."""

    first: str
    second: str
    score: float
    rater: Hashable
    cluster: Hashable


@dataclass(frozen=True)
class Strength:
    """Of one model: log-odds against the average model (0) with 95 % interval, and the mean score of its `n` votes."""

    model: str
    value: float
    low: float | None
    high: float | None
    score: float
    n: int


@dataclass(frozen=True)
class Better:
    """How probable it is that `model` is preferred to `other` (a draw counts half), by the fit, with 95 % interval."""

    model: str
    other: str
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class BradleyTerry:
    """Strengths, best first, and all pairs of them. `notes` say what the votes cannot tell."""

    strengths: tuple[Strength, ...]
    pairs: tuple[Better, ...]
    n: int
    n_raters: int
    n_clusters: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ballots:
    """Votes as arrays (N,): the pair as its place in the flat (M, M) table, the score, the rater, the cluster."""

    pairs: NDArray[np.int64]
    scores: Float64s
    raters: NDArray[np.int64]
    clusters: NDArray[np.int64]


def bradley_terry(votes: Sequence[PairVote], *, seed: int = 0, resamples: int = CROSSED_RESAMPLES) -> BradleyTerry:
    """Fit by penalised maximum likelihood, with intervals that resample raters and identities at once.

    Definition: Bradley and Terry (1952), P(i beats j) = 1 / (1 + exp(s_j - s_i)), strengths centred; draws as half a
    win for each, as the human comparison of the identity-preserving video contest scores them (1, 0.5, 0). Raises
    ValueError where there is no vote or a score is out of [0, 1].
    """
    if not votes or any(not 0 <= vote.score <= 1 or vote.first == vote.second for vote in votes):
        raise ValueError("Bradley-Terry needs votes between two models, with scores from 0 to 1")
    models = sorted({name for vote in votes for name in (vote.first, vote.second)}, key=lambda m: (m.casefold(), m))
    place = {model: at for at, model in enumerate(models)}
    raters, n_raters = numbered([vote.rater for vote in votes])
    clusters, n_clusters = numbered([vote.cluster for vote in votes])
    size = len(models)
    first = np.array([place[vote.first] for vote in votes])
    second = np.array([place[vote.second] for vote in votes])
    scores = np.array([vote.score for vote in votes], dtype=np.float64)
    said = _Ballots(first * size + second, scores, raters, clusters)
    wins = _tables(said, size, np.ones((1, n_raters)), np.ones((1, n_clusters)))[0]
    games = wins + wins.T
    fitted = fit_strengths(wins[None])[0]
    found = None
    if n_raters > 1 or n_clusters > 1:
        found = np.concatenate(
            [fit_strengths(_tables(said, size, *by)) for by in crossed_picks(n_raters, n_clusters, seed, resamples)]
        )
    order = sorted(range(size), key=lambda at: (-fitted[at], models[at]))
    strengths = tuple(
        Strength(
            models[at], float(fitted[at]), *_bounds(None if found is None else found[:, at]),
            float(wins[at].sum() / games[at].sum()), round(games[at].sum()),
        )
        for at in order
    )  # fmt: skip
    pairs = []
    for rank, at in enumerate(order):
        for other in order[rank + 1 :]:
            chance = None if found is None else _sigmoid(found[:, at] - found[:, other])
            value = float(_sigmoid(np.array(fitted[at] - fitted[other])))
            pairs.append(Better(models[at], models[other], value, *_bounds(chance), round(games[at, other])))
    notes = tuple(note for note in (few_note(n_raters, n_clusters), _apart(games, models)) if note)
    return BradleyTerry(strengths, tuple(pairs), len(votes), n_raters, n_clusters, notes)


def fit_strengths(wins: Float64s) -> Float64s:
    """Strengths (B, M), each row of mean 0, of tables (B, M, M) that say how often i was preferred to j."""
    games = wins + wins.transpose(0, 2, 1)
    won = wins.sum(axis=2)
    strengths = np.zeros(won.shape)
    diagonal = np.arange(wins.shape[1])
    for _ in range(STEPS):  # Newton's steps; the prior keeps the curvature away from 0
        chance = _sigmoid(strengths[:, :, None] - strengths[:, None, :])
        against = _sigmoid(strengths)
        slope = won - (games * chance).sum(axis=2) + PRIOR * (1 - 2 * against)
        curve = -games * chance * (1 - chance)
        curve[:, diagonal, diagonal] = 0.0
        curve[:, diagonal, diagonal] = -curve.sum(axis=2) + 2 * PRIOR * against * (1 - against)
        step = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        strengths = strengths + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step).max() < 1e-10:
            break
    return np.asarray(strengths - strengths.mean(axis=1, keepdims=True))


def _tables(said: _Ballots, size: int, raters: Float64s, clusters: Float64s) -> Float64s:
    """Tables of wins (R, M, M), votes counted as often as their rater (R, .) times their identity (R, .) was drawn.

    Pair by pair, so that the memory is that of one pair's votes: raters times identities times pairs may be billions.
    """
    wins = np.zeros((len(raters), size, size))
    for pair in np.unique(said.pairs):
        at = np.flatnonzero(said.pairs == pair)
        weights = raters[:, said.raters[at]] * clusters[:, said.clusters[at]]
        first, second = divmod(int(pair), size)
        wins[:, first, second] += weights @ said.scores[at]
        wins[:, second, first] += weights @ (1 - said.scores[at])
    return wins


def _sigmoid(value: Float64s) -> Float64s:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * value)))


def _bounds(found: Float64s | None) -> tuple[float | None, float | None]:
    if found is None:
        return None, None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _apart(games: Float64s, models: Sequence[str]) -> str:
    """What is to be told where votes do not tie all models together."""
    reached, waiting = {0}, [0]
    while waiting:
        for other in np.flatnonzero(games[waiting.pop()] > 0):
            if int(other) not in reached:
                reached.add(int(other))
                waiting.append(int(other))
    if len(reached) == len(models):
        return ""
    inside = ", ".join(models[at] for at in sorted(reached))
    return f"no vote ties {inside} to the others: strengths across that gap say nothing"
