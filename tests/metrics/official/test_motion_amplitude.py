from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.metrics.official.motion_amplitude import motion_amplitude
from mmbench.runs.memory.scorer import Scorer


@given(st.floats(-20, 20), st.floats(-20, 20), st.integers(1, 5))
def test_it_is_the_drift_along_one_diagonal(right: float, down: float, pairs: int) -> None:
    maps = np.broadcast_to(np.array([right, down]), (pairs, 9, 16, 2))
    result = motion_amplitude(maps)
    assert result.value == pytest.approx(abs(right + down) / 2, abs=1e-9)
    assert result.length == pytest.approx(np.hypot(right, down), abs=1e-9)
    there_and_back = np.concatenate([maps, -maps])
    assert motion_amplitude(there_and_back).value == pytest.approx(0, abs=1e-9)
    assert motion_amplitude(there_and_back).length == pytest.approx(result.length)


def test_no_pair_is_no_motion() -> None:
    with pytest.raises(ValueError, match="pair"):
        motion_amplitude(np.empty((0, 9, 16, 2)))


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(0, 256, (40, 40, 3)), np.ones((8, 8, 1))).astype(np.float32)
    import cv2

    return cv2.GaussianBlur(coarse, (0, 0), 4).clip(0, 255).astype(np.uint8)


def seen(ground: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
    return np.stack([ground[y : y + 160, x : x + 200] for x, y in places])


def test_pans_of_real_pictures(ground: np.ndarray) -> None:
    scorer = Scorer(("motion_amplitude",))
    steps = range(12)
    along = scorer(seen(ground, [(20 + 2 * i, 20 + 2 * i) for i in steps]), fps=8)
    across = scorer(seen(ground, [(20 + 2 * i, 60 - 2 * i) for i in steps]), fps=8)
    swing = scorer(seen(ground, [(20 + 2 * min(i, 11 - i), 20) for i in steps]), fps=8)
    still = scorer(seen(ground, [(20, 20)] * 3), fps=8)
    one = scorer(seen(ground, [(20, 20)]), fps=8)
    assert along["motion_amplitude"].value == pytest.approx(2, rel=0.15)
    assert along["motion_amplitude_opens2v"].value == 1.0
    assert across["motion_amplitude"].value < 0.1 * along["motion_amplitude"].value
    assert across["motion_length"].value == pytest.approx(along["motion_length"].value, rel=0.1)
    assert swing["motion_amplitude"].value < 0.2 < swing["motion_length"].value
    assert still["motion_amplitude"].value < 0.01, "Farneback's flow between equal frames is not quite 0"
    assert {score.status for score in one.values()} == {"missing"}
