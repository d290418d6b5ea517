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


@given(st.integers(0, 10**6), st.floats(0, 5))
@settings(max_examples=40, deadline=None)
def test_the_fit_arrives_however_uneven_the_votes(seed: int, decades: float) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    wins = np.floor(10 ** rng.uniform(-1, decades, (size, size))) * (rng.random((size, size)) < 0.4)
    np.fill_diagonal(wins, 0)
    found = fit_strengths(wins[None])[0]
    chance = 1 / (1 + np.exp(found[None] - found[:, None]))
    surplus = wins.sum(axis=1) - ((wins + wins.T) * chance).sum(axis=1)
    assert np.abs(surplus).max() <= 2 * PRIOR + 1e-6  # all that the prior can pull at one model


def test_as_many_raters_as_a_study_seats_fit_in_little_memory() -> None:
    import tracemalloc

    rng = np.random.default_rng(5)
    models = [f"m{at:02}" for at in range(20)]
    many = []
    for rater in range(5_000):
        first, second = rng.choice(20, 2, replace=False)
        many.append(PairVote(models[first], models[second], float(first < second), rater, int(rng.integers(50))))
    tracemalloc.start()
    found = bradley_terry(many, resamples=20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20  # a cell for each rater, identity and pair would be 800 MB
    assert sum(one.n for one in found.pairs) == len(many) and [one.model for one in found.strengths] == models


def test_a_vote_said_from_the_other_side_is_the_same_vote() -> None:
    rng = np.random.default_rng(3)
    plain = votes("a", "b", *rng.choice([0.0, 0.5, 1.0], 60)) + votes("b", "c", *rng.choice([0.0, 0.5, 1.0], 60))
    turned = [PairVote(v.second, v.first, 1 - v.score, v.rater, v.cluster) if rng.random() < 0.5 else v for v in plain]
    assert bradley_terry(plain, resamples=50).strengths == bradley_terry(turned, resamples=50).strengths


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
