"""Krippendorff's alpha against values that he printed and such as a few lines of definition give."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.reports.numbers.people.alpha import Level, krippendorff_alpha

_ = float("nan")
# Krippendorff (2011), data of section C: four observers, twelve units, gaps.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
UNITS = [[value for value in unit if not math.isnan(value)] for unit in zip(*OBSERVERS, strict=True)]


@pytest.mark.parametrize(
    ("level", "printed"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_the_printed_values_of_four_observers(level: Level, printed: float) -> None:
    found = krippendorff_alpha(UNITS, level)
    assert found.value == pytest.approx(printed, abs=5e-4)
    assert (found.n_units, found.n_values) == (11, 40)
    assert found.low is not None and found.high is not None and found.low < printed < found.high


def test_the_printed_value_of_two_observers_and_two_values() -> None:
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    found = krippendorff_alpha([list(pair) for pair in zip(first, second, strict=True)], "nominal")
    assert found.value == pytest.approx(0.095, abs=5e-4)


def test_by_hand() -> None:
    # Coincidences of (1,1) (2,2) (1,2): o11 = 2, o22 = 2, o12 = o21 = 1; n = 6, n1 = n2 = 3.
    # Observed 2/6, expected 2*3*3/(6*5) = 0.6; 1 - (1/3)/0.6 = 4/9.
    assert krippendorff_alpha([[1, 1], [2, 2], [1, 2]], "nominal").value == pytest.approx(4 / 9)


def definition(units: list[list[float]], level: Level) -> float | None:
    """Straight from the paper: pairs of values within units against pairs of values anywhere."""
    units = [unit for unit in units if len(unit) >= 2]
    values = sorted(value for unit in units for value in unit)

    def square(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        if level == "ratio":
            return ((a - b) / (a + b)) ** 2 if a + b else 0.0
        low, high = min(a, b), max(a, b)
        return (sum(low <= value <= high for value in values) - (values.count(a) + values.count(b)) / 2) ** 2

    n = len(values)
    observed = sum(
        square(a, b) / (len(unit) - 1)
        for unit in units
        for i, a in enumerate(unit)
        for j, b in enumerate(unit)
        if i != j
    )
    expected = sum(square(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    return None if not expected else 1 - (observed / n) / (expected / (n * (n - 1)))


@given(
    st.lists(st.lists(st.integers(0, 5).map(float), min_size=0, max_size=5), min_size=1, max_size=8),
    st.sampled_from(["nominal", "ordinal", "interval", "ratio"]),
)
@settings(max_examples=150, deadline=None)
def test_as_the_definition_has_it(units: list[list[float]], level: Level) -> None:
    found = krippendorff_alpha(units, level, resamples=50)
    if not any(len(unit) >= 2 for unit in units):
        assert found.value is None and found.note
        return
    wanted = definition(units, level)
    assert found.value == (None if wanted is None else pytest.approx(wanted, abs=1e-9))


def test_equal_values_bad_values_and_one_cluster() -> None:
    assert "equal" in krippendorff_alpha([[3, 3], [3, 3]]).note
    with pytest.raises(ValueError, match="finite"):
        krippendorff_alpha([[1, float("inf")]])
    with pytest.raises(ValueError, match="ratio"):
        krippendorff_alpha([[-1, 1]], "ratio")
    with pytest.raises(ValueError, match="clusters"):
        krippendorff_alpha([[1, 1]], clusters=["a", "b"])
    with pytest.raises(ValueError, match="no level 'ordnal'"):
        krippendorff_alpha([[1, 2], [2, 2]], "ordnal")  # type: ignore[arg-type]
    one = krippendorff_alpha([[1, 2], [2, 2]], clusters=["a", "a"])
    assert one.value is not None and one.low is None and one.note
