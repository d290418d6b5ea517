"""Strengths: closed forms, an outside fit, gaps, and who never lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.reports.numbers.people.bradley_terry import PRIOR, PairVote, bradley_terry, fit_strengths


def votes(first: str, second: str, *scores: float) -> list[PairVote]:
    return [PairVote(first, second, score, f"r{at % 10}", f"p{at % 9}") for at, score in enumerate(scores)]


def test_two_models_have_the_odds_of_their_scores_but_for_the_prior() -> None:
    found = bradley_terry(votes("a", "b", *[1.0] * 600, *[0.5] * 100, *[0.0] * 250), resamples=200)
    a, b = found.strengths
    assert (a.model, b.model) == ("a", "b") and a.value == pytest.approx(-b.value)
    assert a.score == pytest.approx(650 / 950) and a.n == 950
    assert a.value - b.value == pytest.approx(math.log(650 / 300), abs=0.01)
    assert found.pairs[0].value == pytest.approx(650 / 950, abs=0.003)


@given(st.integers(2, 6), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_the_fit_is_where_the_slope_is_zero(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wins = rng.integers(0, 30, (size, size)).astype(float)
    np.fill_diagonal(wins, 0)
    found = fit_strengths(wins[None])[0]
    assert found.mean() == pytest.approx(0, abs=1e-9)
    from scipy.optimize import minimize

    def loss(strengths: np.ndarray) -> float:
        chance = np.log1p(np.exp(strengths[None, :] - strengths[:, None]))
        prior = np.log1p(np.exp(strengths)) + np.log1p(np.exp(-strengths))
        return float((wins * chance).sum() + PRIOR * prior.sum())

    other = minimize(loss, np.zeros(size), tol=1e-12).x
    assert found == pytest.approx(other - other.mean(), abs=2e-3)


def test_who_never_lost_has_a_finite_strength_and_comes_first() -> None:
    found = bradley_terry(votes("a", "b", *[1.0] * 40) + votes("b", "c", *[1.0] * 40), resamples=200)
    assert [one.model for one in found.strengths] == ["a", "b", "c"]
    assert all(math.isfinite(one.value) and one.low is not None for one in found.strengths)


def test_a_gap_between_groups_is_told() -> None:
    found = bradley_terry(votes("a", "b", *[1.0, 0.0] * 20) + votes("c", "d", *[1.0] * 40), resamples=50)
    assert any("no vote ties a, b to the others" in note for note in found.notes)


def test_one_rater_has_no_interval_and_bad_votes_are_refused() -> None:
    alone = bradley_terry([PairVote("a", "b", 1.0, "r", "p")], resamples=10)
    assert alone.strengths[0].low is None
    for bad in ([], [PairVote("a", "b", 1.5, 1, 1)], [PairVote("a", "a", 1.0, 1, 1)]):
        with pytest.raises(ValueError, match="Bradley-Terry"):
            bradley_terry(bad)
