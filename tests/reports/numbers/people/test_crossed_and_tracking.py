"""Intervals over raters and identities at once cover; metrics are turned round, gaps left out, pairs have no side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mmbench.reports.numbers.people.crossed import crossed_mean
from mmbench.reports.numbers.people.tracking import Opinions, track


def test_the_interval_covers_where_raters_and_identities_both_differ() -> None:
    covered, naive = 0, 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        habits, faces = rng.normal(0, 1, 20), rng.normal(0, 1, 15)
        cells = [(rater, face) for rater in range(20) for face in range(15) if rng.random() < 0.4]
        values = [5 + habits[rater] + faces[face] + rng.normal() for rater, face in cells]
        found = crossed_mean(values, [c[0] for c in cells], [c[1] for c in cells], seed=seed, resamples=400)
        assert found.low is not None and found.high is not None
        covered += found.low <= 5 <= found.high
        error = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
        naive += abs(np.mean(values) - 5) <= error
    assert covered >= 105, covered  # 95 % of 120 are 114
    assert naive < 80, naive  # what the usual interval would cover


def test_a_mean_is_the_mean_and_knows_what_it_does_not_know() -> None:
    found = crossed_mean([1.0, 2.0, 4.0], ["x", "x", "y"], ["p", "q", "p"], resamples=50)
    assert found.mean == pytest.approx(7 / 3) and "only 2 raters and 2 identities" in found.note
    assert crossed_mean([1.0, 2.0], ["x", "x"], ["p", "p"]).low is None
    assert crossed_mean([2.0, 2.0], ["x", "y"], ["p", "q"]).low is None
    for bad in ([], [float("nan")]):
        with pytest.raises(ValueError, match="value"):
            crossed_mean(bad, ["x"] * len(bad), ["p"] * len(bad))


def opinions(seed: int, mirrored: bool = False) -> tuple[Opinions, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=40)
    units = np.repeat(np.arange(40), 5)
    scores = truth[units] + rng.normal(0, 0.5, len(units))
    if mirrored:
        scores = 1 / (1 + np.exp(-scores))
    people = [f"p{at % 10}" for at in range(40)]
    return Opinions(scores.tolist(), (np.arange(len(units)) % 9).tolist(), units.tolist(), people, mirrored), truth


def test_spearman_by_clip_means_with_verdicts() -> None:
    said, truth = opinions(1)
    nothing = np.random.default_rng(9).normal(size=40)
    holes = np.where(np.arange(40) % 4 == 0, np.nan, truth)
    found = track(said, {"same": truth, "opposite": -truth, "nothing": nothing, "holes": holes}, resamples=300)
    means = np.bincount(said.units, said.scores) / 5
    assert found[0].value == pytest.approx(spearmanr(truth, means).statistic)
    assert found[1].value == pytest.approx(-found[0].value)
    assert [one.verdict for one in found] == ["tracks", "against", "undecided", "tracks"]
    assert [one.n for one in found] == [40, 40, 40, 30]


def test_which_clip_of_a_pair_comes_first_does_not_matter() -> None:
    said, truth = opinions(2, mirrored=True)
    turn = np.random.default_rng(3).random(40) < 0.5
    scores = [1 - score if turn[unit] else score for score, unit in zip(said.scores, said.units, strict=True)]
    turned = Opinions(scores, said.raters, said.units, said.clusters, True)
    (one,) = track(said, {"m": truth}, resamples=100)
    (other,) = track(turned, {"m": np.where(turn, -truth, truth)}, resamples=100)
    assert one.value == pytest.approx(other.value) and one.low == pytest.approx(other.low)


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_turning_pairs_keeps_ties_where_raters_are_few(seed: int, raters: int) -> None:
    """Means such as 1/3 and 1 - 2/3 are one opinion; as floats they are two, and ranks would tell them apart."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(12), raters)
    scores = rng.choice([0.0, 0.5, 1.0], len(units))
    turn, column = rng.random(12) < 0.5, rng.normal(size=12)
    who, people = np.tile(np.arange(raters), 12).tolist(), [f"p{at}" for at in range(12)]
    said = Opinions(scores.tolist(), who, units.tolist(), people, True)
    turned = Opinions(np.where(turn[units], 1 - scores, scores).tolist(), who, units.tolist(), people, True)
    (one,) = track(said, {"m": column}, resamples=20)
    (other,) = track(turned, {"m": np.where(turn, -column, column)}, resamples=20)
    assert (one.value is None) == (other.value is None)
    if one.value is not None:
        means = np.bincount(units, scores - 0.5) / raters
        both = spearmanr(np.concatenate([column, -column]), np.concatenate([means, -means])).statistic
        assert one.value == pytest.approx(other.value) == pytest.approx(both)
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_what_does_not_fit_is_refused_and_never_left_out() -> None:
    good = Opinions([1.0] * 6, list("abcdef"), list(range(6)), list("pqrstu"))
    for changes, why in (
        ({"scores": [1.0] * 5}, "5 scores, 6 raters"),
        ({"scores": [float("nan")] * 6}, "not finite"),
        ({"units": [0, 1, 2, 3, 4, -1]}, "none of the 6"),
        ({"units": [0, 1, 2, 3, 4, 6]}, "none of the 6"),
        ({"scores": [7.0] * 6, "mirrored": True}, "from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=why):
            track(replace(good, **changes), {}, resamples=10)
    with pytest.raises(ValueError, match="m: 1 values for 6 units"):
        track(good, {"m": [1.0]}, resamples=10)


def test_too_little_is_told() -> None:
    said = Opinions([1.0, 2.0], ["a", "b"], [0, 1], ["p", "q"])
    found = track(said, {"m": [1.0, 2.0], "n": [float("nan")] * 2}, resamples=10)
    assert [one.value for one in found] == [None, None] and all(one.note for one in found)
    flat, _ = opinions(4)
    assert track(flat, {"m": [1.0] * 40}, resamples=10)[0].value is None
