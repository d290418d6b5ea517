"""Similarity decay against straight lines and scipy's linear regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress

from mmbench.metrics.similarity_decay import similarity_decay

TAU = np.linspace(0, 1, 16)


@pytest.mark.parametrize("loss", [-0.1, 0.0, 0.02, 0.5])
def test_a_straight_line_gives_its_loss(loss: float) -> None:
    result = similarity_decay(0.9 - loss * TAU, TAU)
    assert result is not None
    assert result.value == pytest.approx(loss, abs=1e-12)
    assert result.stderr == pytest.approx(0, abs=1e-12)


def test_noisy_curve_equals_scipy() -> None:
    similarity = 0.9 - 0.05 * TAU + np.random.default_rng(1).normal(0, 0.01, 16)
    similarity[[2, 7]] = np.nan
    expected = linregress(np.delete(TAU, [2, 7]), np.delete(similarity, [2, 7]))
    result = similarity_decay(similarity, TAU)
    assert result is not None
    assert result.value == pytest.approx(-expected.slope)
    assert result.stderr == pytest.approx(expected.stderr)


def test_a_constant_offset_does_not_matter() -> None:
    similarity = np.random.default_rng(2).normal(0.9, 0.01, 16)
    a, b = similarity_decay(similarity, TAU), similarity_decay(similarity - 0.3, TAU)
    assert a is not None
    assert b is not None
    assert a.value == pytest.approx(b.value)


def test_time_reversal_changes_the_sign() -> None:
    similarity = np.random.default_rng(3).normal(0.9, 0.01, 16)
    a, b = similarity_decay(similarity, TAU), similarity_decay(similarity[::-1], TAU)
    assert a is not None
    assert b is not None
    assert a.value == pytest.approx(-b.value)


def test_three_slots_are_too_few() -> None:
    similarity = np.full(16, np.nan)
    similarity[[0, 8, 15]] = 0.9
    assert similarity_decay(similarity, TAU) is None


def test_slots_of_one_half_only_are_too_few() -> None:
    similarity = np.where(TAU < 0.49, 0.9, np.nan)
    assert similarity_decay(similarity, TAU) is None
