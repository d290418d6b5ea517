from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.face.pose import NOSE_LENGTH, face_size, yaw_of

HEAD = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0.1, NOSE_LENGTH], [-0.35, 0.6, 0], [0.35, 0.6, 0]])
"""A face in inter-ocular distances: right, down, towards the camera."""


def seen(yaw: float, roll: float = 0.0, scale: float = 40.0, shift: float = 100.0) -> np.ndarray:
    """The head turned, then tilted in the picture, seen from far away."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned = np.stack([c * HEAD[:, 0] + s * HEAD[:, 2], HEAD[:, 1]], axis=1)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return scale * turned @ np.array([[c, s], [-s, c]]) + shift


@given(st.floats(-80, 80), st.floats(-60, 60), st.floats(5, 300), st.floats(-1000, 1000))
def test_a_head_of_the_mean_nose_is_read_exactly(yaw: float, roll: float, scale: float, shift: float) -> None:
    assert yaw_of(seen(yaw, roll, scale, shift)) == pytest.approx(yaw, abs=1e-6)


def test_many_faces_at_once_and_missing_ones() -> None:
    points = np.stack([seen(30), np.full((5, 2), np.nan), np.ones((5, 2)), seen(-30)])
    found = yaw_of(points.astype(np.float32))
    assert found[[0, 3]] == pytest.approx([30, -30], abs=1e-3)
    assert np.isnan(found[1:3]).all()


def test_size_is_the_boxs_height_in_short_sides() -> None:
    boxes = np.array([[0, 10, 5, 40], [0, 0, 1, 90.0]], np.float32)
    assert face_size(boxes, 160, 90) == pytest.approx([1 / 3, 1.0])


def test_mirrored_faces_turn_the_other_way() -> None:
    points = seen(25, 10)
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1]
    assert yaw_of(mirrored) == pytest.approx(-yaw_of(points))
