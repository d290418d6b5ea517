"""Intervals and tests against scipy, hand cases and simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from mmbench.reports.numbers.stats import cluster_mean, holm, paired_test


def balanced(rng: np.random.Generator, n_clusters: int, size: int) -> tuple[list[float], list[str]]:
    values = rng.normal(size=(n_clusters, 1)) + rng.normal(size=(n_clusters, size))
    clusters = [f"id{index:03d}" for index in range(n_clusters) for _ in range(size)]
    return values.ravel().tolist(), clusters


def test_interval_equals_scipy_percentile_bootstrap_of_cluster_means() -> None:
    values, clusters = balanced(np.random.default_rng(1), 30, 4)
    ours = cluster_mean(values, clusters, resamples=40_000)
    means = np.array(values).reshape(30, 4).mean(axis=1)
    tail = scipy_stats.norm.cdf(-np.sqrt(30 / 29) * scipy_stats.t.ppf(0.975, 29))
    theirs = scipy_stats.bootstrap(
        (means,), np.mean, method="percentile", n_resamples=40_000, confidence_level=1 - 2 * tail, rng=7
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.method == "bootstrap"
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * width)


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
    ours = cluster_mean([0.0, 1.0, 1.0], ["a", "b", "c"], bounds=(0.0, 1.0))
    assert (ours.low, ours.high) == (0.0, 1.0)


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


def skewed(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.exponential(size=(50, 1)) + 0.7 * rng.exponential(size=(50, 4))


@pytest.mark.parametrize(("draw", "truth"), [(normal, 0.0), (yes_or_no, 0.7), (skewed, 1.7)])
def test_coverage_at_50_identities_of_4_clips(draw: Draw, truth: float) -> None:
    """93-97 %; 3,000 sets, so the standard error of the simulated coverage is 0.4 %."""
    rng = np.random.default_rng(11)
    clusters = [index // 4 for index in range(200)]
    covered = 0
    for trial in range(3000):
        estimate = cluster_mean(draw(rng).ravel().tolist(), clusters, seed=trial, resamples=1500)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
    print(f"coverage {covered / 3000:.3f}")
    assert 0.93 <= covered / 3000 <= 0.97


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
    assert ours.p == pytest.approx(theirs.pvalue)


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
        paired_test((rng.normal(size=(10, 1)) + rng.normal(size=(10, 2))).ravel().tolist(), clusters, resamples=50).p
        <= 0.05
        for _ in range(1000)
    )
    assert 0.03 <= alarms / 1000 <= 0.07


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
