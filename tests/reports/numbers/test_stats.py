"""Intervals and tests against scipy, hand cases and simulation."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from mmbench.reports.numbers.stats import Estimate, cluster_mean, holm, paired_test

YES = (0.0, 1.0)


def width(estimate: Estimate) -> float:
    assert estimate.low is not None and estimate.high is not None
    return estimate.high - estimate.low


def balanced(rng: np.random.Generator, n_clusters: int, size: int) -> tuple[list[float], list[str]]:
    values = rng.normal(size=(n_clusters, 1)) + rng.normal(size=(n_clusters, size))
    clusters = [f"id{index:03d}" for index in range(n_clusters) for _ in range(size)]
    return values.ravel().tolist(), clusters


def test_interval_is_the_studentised_bootstrap_done_by_hand() -> None:
    """Against resamples drawn one by one, another seed: the quantiles of t, turned round."""
    values, clusters = balanced(np.random.default_rng(1), 30, 4)
    ours = cluster_mean(values, clusters, resamples=20_000)
    means = np.array(values).reshape(30, 4).mean(axis=1)
    rng = np.random.default_rng(7)
    drawn = means[rng.integers(0, 30, (20_000, 30))]
    score = (drawn.mean(axis=1) - means.mean()) / (drawn.std(axis=1, ddof=1) / np.sqrt(30))
    error = means.std(ddof=1) / np.sqrt(30)
    low, high = (means.mean() - np.quantile(score, q) * error for q in (0.975, 0.025))
    assert ours.method == "bootstrap"
    assert ours.low == pytest.approx(low, abs=0.03 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.03 * (high - low))


def test_few_clusters_give_scipys_t_interval() -> None:
    values = [0.1, 0.4, 0.35, 0.8, 0.55]
    ours = cluster_mean(values, list("abcde"))
    low, high = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert ours.method == "t"
    assert (ours.low, ours.high) == pytest.approx((low, high))


def test_cluster_robust_error_by_hand() -> None:
    # Two clusters: a = {1, 3}, b = {5}; mean 3; residual sums a: -2, b: 2; se = sqrt(2 * (4 + 4)) / 3 = 4 / 3.
    ours = cluster_mean([1.0, 3.0, 5.0], ["a", "a", "b"])
    assert ours.low == pytest.approx(3 - scipy_stats.t.ppf(0.975, 1) * 4 / 3)


def test_one_clip_and_one_identity_have_no_interval() -> None:
    single = cluster_mean([0.9], ["anna"])
    assert (single.mean, single.low, single.high) == (0.9, None, None)
    assert "one clip" in single.note
    assert "2 clips of one identity" in cluster_mean([0.9, 0.8], ["anna", "anna"]).note


def test_all_clips_at_the_bound_get_an_exact_interval_not_a_zero_width() -> None:
    ours = cluster_mean([1.0] * 20, [str(index // 2) for index in range(20)], bounds=(0.0, 1.0))
    assert ours.method == "exact"
    assert ours.high == 1.0
    assert ours.low == pytest.approx(scipy_stats.binomtest(10, 10).proportion_ci(0.95, method="exact").low)
    zero = cluster_mean([0.0, 0.0], ["a", "b"], bounds=(0.0, 1.0))
    assert zero.low == 0.0
    assert zero.high is not None and zero.high > 0.5
    assert cluster_mean([3.0, 3.0], ["a", "b"]).low is None


def test_intervals_stay_inside_the_range_of_the_metric() -> None:
    ours = cluster_mean([0.0, 0.5, 1.0], ["a", "b", "c"], bounds=(0.0, 1.0))
    assert (ours.low, ours.high) == (0.0, 1.0)


def test_yes_and_no_of_one_clip_each_have_scipys_exact_interval() -> None:
    values = [1.0] * 47 + [0.0] * 3
    ours = cluster_mean(values, list(range(50)), bounds=(0.0, 1.0))
    theirs = scipy_stats.binomtest(47, 50).proportion_ci(0.95, method="exact")
    assert (ours.method, ours.low, ours.high) == ("exact", pytest.approx(theirs.low), pytest.approx(theirs.high))


def test_clips_of_one_identity_that_agree_count_for_less() -> None:
    agree = cluster_mean([float(n < 14) for n in range(20) for _ in range(4)], [n // 4 for n in range(80)], bounds=YES)
    mixed = cluster_mean([float(n % 10 < 7) for n in range(80)], [n // 4 for n in range(80)], bounds=YES)
    assert agree.mean == pytest.approx(mixed.mean)
    assert width(agree) > 1.5 * width(mixed)


@given(
    st.integers(2, 12).flatmap(
        lambda size: st.tuples(
            st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=size, max_size=size), st.integers(2, 15)
        )
    ),
    st.booleans(),
)
def test_no_interval_has_width_zero(drawn: tuple[list[float], int], bounded: bool) -> None:
    """Identities whose means coincide tell nothing of the spread between identities."""
    clips, n_clusters = drawn
    values = clips * n_clusters
    clusters = [index // len(clips) for index in range(len(values))]
    ours = cluster_mean(values, clusters, bounds=YES if bounded else (None, None), resamples=200)
    assert ours.mean == pytest.approx(float(np.mean(clips)))
    if ours.low is None:
        assert "no interval" in ours.note
    else:
        assert width(ours) > 0.05


def test_two_identities_of_one_mean_have_the_exact_interval_and_a_note() -> None:
    ours = cluster_mean([0.0, 1.0, 1.0, 0.0], ["a", "a", "b", "b"], bounds=YES)
    assert ours.method == "exact"
    assert ours.low is not None and ours.low < 0.05
    assert "means coincide" in ours.note
    free = cluster_mean([0.2, 0.6, 0.6, 0.2], ["a", "a", "b", "b"])
    assert (free.low, free.high) == (None, None)
    assert "means coincide" in free.note


def test_shares_on_a_bound_but_for_a_few_are_not_called_certain() -> None:
    ours = cluster_mean([1.0] * 49 + [0.9], list(range(50)), bounds=YES)
    all_one = cluster_mean([1.0] * 50, list(range(50)), bounds=YES)
    assert ours.method == "exact"
    assert ours.low is not None and all_one.low is not None and ours.low < all_one.low
    few = cluster_mean([0.0] * 28 + [1.0, 2.0], list(range(30)))  # unbounded: nothing can be said
    assert few.low is None and "too few identities" in few.note


def test_row_order_does_not_matter() -> None:
    values, clusters = balanced(np.random.default_rng(3), 12, 3)
    order = np.random.default_rng(4).permutation(len(values))
    shuffled = cluster_mean([values[i] for i in order], [clusters[i] for i in order])
    assert shuffled == cluster_mean(values, clusters)


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf")]])
def test_refuses_what_is_not_a_number(values: list[float]) -> None:
    with pytest.raises(ValueError):
        cluster_mean(values, ["a"] * len(values))


Draw = Callable[[np.random.Generator], NDArray[np.float64]]


def normal(rng: np.random.Generator) -> NDArray[np.float64]:
    return 0.7 * rng.normal(size=(50, 1)) + rng.normal(size=(50, 4))


def yes_or_no(rng: np.random.Generator) -> NDArray[np.float64]:
    return (rng.random((50, 4)) < rng.beta(2.1, 0.9, size=(50, 1))).astype(float)


def nearly_always(rng: np.random.Generator) -> NDArray[np.float64]:
    return (rng.random((50, 4)) < rng.beta(9.7, 0.3, size=(50, 1))).astype(float)


def share_near_one(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.binomial(16, rng.beta(30, 0.3, size=(50, 1))) / 16


def skewed(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.exponential(size=(50, 1)) + 0.7 * rng.exponential(size=(50, 4))


def log_normal(spread: float, shape: tuple[int, int]) -> Draw:
    """Of mean 1."""
    return lambda rng: rng.lognormal(-(spread**2) / 2, spread, shape)


COVERED = [
    (normal, 0.0, 0.93),
    (yes_or_no, 0.7, 0.93),
    (nearly_always, 0.97, 0.93),
    (share_near_one, 30 / 30.3, 0.93),
    (skewed, 1.7, 0.93),
    (log_normal(0.9, (50, 1)), 1.0, 0.905),
    (log_normal(1.3, (50, 1)), 1.0, 0.88),
    (log_normal(1.3, (50, 4)), 1.0, 0.89),
]
"""Values, their true mean, and the least coverage that the module's docstring allows (less two standard errors)."""


def coverage(draw: Draw, truth: float, trials: int) -> float:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(trials):
        values = draw(rng)
        clusters = np.repeat(np.arange(len(values)), values.shape[1]).tolist()
        bounds = YES if values.min() >= 0 and values.max() <= 1 else (None, None)
        estimate = cluster_mean(values.ravel().tolist(), clusters, bounds=bounds, resamples=1000)
        covered += estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high
    return covered / trials


@pytest.mark.parametrize(("draw", "truth", "least"), COVERED)
def test_coverage_at_50_identities(draw: Draw, truth: float, least: float) -> None:
    """400 sets: the standard error of the simulated coverage is 1 to 1.5 %."""
    assert coverage(draw, truth, 400) >= least - 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "truth", "least"), COVERED)
def test_coverage_at_50_identities_closely(draw: Draw, truth: float, least: float) -> None:
    assert least <= coverage(draw, truth, 4000) <= 0.998


def false_alarms(one: Draw, other: Draw, trials: int) -> float:
    """How often two models of one mean are told apart at 5 %."""
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(trials):
        values = one(rng) - other(rng)
        clusters = np.repeat(np.arange(len(values)), values.shape[1]).tolist()
        alarms += paired_test(values.ravel().tolist(), clusters, resamples=1000).p <= 0.05
    return alarms / trials


def even(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(1, 0.3, size=(50, 1))


ALARMS = [
    (log_normal(0.9, (50, 1)), even, 0.08),
    (log_normal(1.3, (50, 1)), even, 0.115),
    (log_normal(1.3, (50, 1)), log_normal(1.3, (50, 1)), 0.065),
    (even, even, 0.065),
]


@pytest.mark.parametrize(("one", "other", "most"), ALARMS)
def test_false_alarms_where_one_side_is_skewed(one: Draw, other: Draw, most: float) -> None:
    assert false_alarms(one, other, 300) <= most + 0.025


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other", "most"), ALARMS)
def test_false_alarms_closely(one: Draw, other: Draw, most: float) -> None:
    assert false_alarms(one, other, 3000) <= most


@pytest.mark.parametrize("n_clusters", [3, 5])
def test_coverage_with_few_identities(n_clusters: int) -> None:
    rng = np.random.default_rng(13)
    clusters = [index // 4 for index in range(4 * n_clusters)]
    covered = 0
    for _ in range(2000):
        values = rng.normal(size=(n_clusters, 1)) + rng.normal(size=(n_clusters, 4))
        estimate = cluster_mean(values.ravel().tolist(), clusters)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 0 <= estimate.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_ignoring_clusters_would_undercover() -> None:
    """The reason for clusters: identity effects make the naive interval far too short."""
    rng = np.random.default_rng(12)
    naive = clustered = 0
    for trial in range(300):
        values = (2 * rng.normal(size=(50, 1)) + rng.normal(size=(50, 4))).ravel().tolist()
        for name, clusters in (("naive", range(200)), ("clustered", [i // 4 for i in range(200)])):
            estimate = cluster_mean(values, list(clusters), seed=trial, resamples=600)
            assert estimate.low is not None and estimate.high is not None
            hit = estimate.low <= 0 <= estimate.high
            naive += hit and name == "naive"
            clustered += hit and name == "clustered"
    assert naive / 300 < 0.80 < 0.92 < clustered / 300


def test_sign_flip_equals_scipys_exact_permutation_test() -> None:
    differences = [0.31, -0.12, 0.55, 0.08, 0.27, -0.05, 0.4, 0.18]
    ours = paired_test(differences, list(range(8)))
    theirs = scipy_stats.permutation_test(
        (differences, [0.0] * 8),
        lambda x, y, axis=-1: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="two-sided",
        vectorized=True,
    )
    assert ours.exact
    assert ours.p >= theirs.pvalue - 1e-12
    flat = paired_test([0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], list(range(8)))
    assert flat.p == 2 / 2**8  # nothing but the number of identities speaks


@pytest.mark.parametrize("n_clusters", [20, 50, 300])
def test_p_goes_on_below_the_number_of_resamples(n_clusters: int) -> None:
    rng = np.random.default_rng(2)
    clear = (1 + 0.1 * rng.normal(size=n_clusters)).tolist()
    found = paired_test(clear, list(range(n_clusters)), resamples=500)
    assert found.smallest_p <= found.p < 1 / 501
    doubtful = (0.3 * rng.normal(size=n_clusters)).tolist()
    assert paired_test(doubtful, list(range(n_clusters)), resamples=500).p > 1 / 501


@pytest.mark.parametrize("others", [0, 1, 2, 4, 7])
def test_nearly_constant_yes_and_no_is_no_doubt(others: int) -> None:
    """Most resamples of 70 answers of which a few differ have no error: that is no reason to know nothing."""
    values = [1.0] * (70 - others) + [0.0] * others
    found = paired_test(values, list(range(70)), bounds=(-1.0, 1.0), resamples=2000)
    assert found.p < 1e-6
    assert found.p >= scipy_stats.binomtest(0, 70 - others).pvalue, "never below McNemar's exact test"


@given(st.integers(8, 60), st.floats(0.0, 0.3), st.randoms(use_true_random=False))
def test_bounds_only_take_doubt_away(n_clusters: int, share: float, random: Random) -> None:
    values = [1.0 if random.random() > share else random.choice([0.0, -1.0]) for _ in range(n_clusters)]
    free, within = (
        paired_test(values, list(range(n_clusters)), bounds=bounds, resamples=200).p
        for bounds in ((None, None), (-1.0, 1.0))
    )
    assert 0 < within <= free


def test_false_alarms_of_nearly_always_yes_stay_at_the_level() -> None:
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(400):
        one, other = rng.random(50) < 0.95, rng.random(50) < 0.95
        values = (one.astype(float) - other).tolist()
        alarms += paired_test(values, list(range(50)), bounds=(-1.0, 1.0), resamples=300).p <= 0.05
    assert alarms / 400 <= 0.06


def test_sign_flip_by_hand_and_its_floor() -> None:
    # Three clusters, all positive: only +++ and --- are as far out, 2 of 8 patterns.
    test = paired_test([1.0, 2.0, 0.5], ["a", "b", "c"])
    assert (test.p, test.smallest_p) == (0.25, 0.25)


def test_clips_of_one_identity_flip_together() -> None:
    together = paired_test([0.2] * 12, ["a"] * 6 + ["b"] * 6)
    assert together.p == 0.5  # two clusters, not twelve clips


def test_many_clusters_agree_with_the_t_test() -> None:
    rng = np.random.default_rng(5)
    differences = (0.25 + rng.normal(size=60)).tolist()
    ours = paired_test(differences, list(range(60)))
    assert not ours.exact
    assert ours.p == pytest.approx(scipy_stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_false_alarms_stay_at_the_level() -> None:
    rng = np.random.default_rng(6)
    clusters = [index // 2 for index in range(20)]
    alarms = sum(
        paired_test((rng.normal(size=(10, 1)) + rng.normal(size=(10, 2))).ravel().tolist(), clusters, resamples=300).p
        <= 0.05
        for _ in range(400)
    )
    assert 0.01 <= alarms / 400 <= 0.07


def test_no_difference_at_all_has_p_one() -> None:
    assert paired_test([0.0] * 20, list(range(20))).p == 1.0


def test_holm_by_hand() -> None:
    # 0.01*4, 0.02*3 (raised to 0.06), 0.03*2 = 0.06, 0.5*1
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_between_raw_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, new in zip(p_values, adjusted, strict=True):
        assert raw <= new + 1e-15
        assert new <= min(1.0, raw * len(p_values)) + 1e-12
    by_raw = [new for _, new in sorted(zip(p_values, adjusted, strict=True))]
    assert by_raw == sorted(by_raw)
