from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.face.geometry import five_from_68
from mmbench.face.pose import MIRROR, NOSE_LENGTH, face_size, mirrored, upright, yaw_of

HEAD = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0.1, NOSE_LENGTH], [-0.35, 0.6, 0], [0.35, 0.6, 0]])
"""A face in inter-ocular distances: right, down, towards the camera."""


def head_of_68() -> np.ndarray:
    """A plain symmetric head in inter-ocular distances: right, down, towards the camera."""
    jaw = np.pi * np.arange(17) / 16
    points = [np.stack([-1.15 * np.cos(jaw), 1.45 * np.sin(jaw), -1.1 + 0.9 * np.sin(jaw)], 1)]
    brow = np.linspace(-0.85, -0.25, 5)
    points += [np.stack([side, np.full(5, -0.4), np.full(5, 0.1)], 1) for side in (brow, -brow[::-1])]
    down = np.linspace(0, 0.55, 4)
    points += [np.stack([0 * down, down, 0.12 + 0.6 * down], 1)]
    wing = np.linspace(-0.25, 0.25, 5)
    points += [np.stack([wing, np.full(5, 0.75), 0.3 - 0.5 * np.abs(wing)], 1)]
    eye = np.array([[-0.72, 0, -0.1], [-0.58, -0.06, 0], [-0.42, -0.06, 0], [-0.28, 0, 0], [-0.42, 0.05, 0]])
    eye = np.concatenate([eye, [[-0.58, 0.05, 0]]])
    points += [eye, (eye * [-1, 1, 1])[[3, 2, 1, 0, 5, 4]]]
    turn = 2 * np.pi * np.arange(12) / 12
    points += [np.stack([-0.42 * np.cos(turn), 1.15 - 0.15 * np.sin(turn), 0.2 - 0.25 * np.cos(turn) ** 2], 1)]
    turn = 2 * np.pi * np.arange(8) / 8
    points += [np.stack([-0.3 * np.cos(turn), 1.15 - 0.05 * np.sin(turn), 0.2 - 0.2 * np.cos(turn) ** 2], 1)]
    return np.concatenate(points)


def seen(
    yaw: float, roll: float = 0.0, scale: float = 40.0, shift: float = 100.0, head: np.ndarray = HEAD
) -> np.ndarray:
    """The head turned, then tilted in the picture, seen from far away."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned = np.stack([c * head[:, 0] + s * head[:, 2], head[:, 1]], axis=1)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return scale * turned @ np.array([[c, s], [-s, c]]) + shift


@given(st.floats(-80, 80), st.floats(-60, 60), st.floats(5, 300), st.floats(-1000, 1000))
def test_a_head_of_the_mean_nose_is_read_exactly(yaw: float, roll: float, scale: float, shift: float) -> None:
    assert yaw_of(seen(yaw, roll, scale, shift)) == pytest.approx(yaw, abs=1e-6)


@pytest.mark.parametrize("head", [HEAD, head_of_68()], ids=["5", "68"])
def test_many_faces_at_once_and_missing_ones(head: np.ndarray) -> None:
    shape = head[:, :2].shape
    points = np.stack([seen(30, head=head), np.full(shape, np.nan), np.ones(shape), seen(-30, head=head)])
    found = yaw_of(points.astype(np.float32))
    assert found[0] == pytest.approx(-found[3], abs=1e-3) and found[0] > 15
    assert np.isnan(found[1:3]).all()
    assert yaw_of(points.reshape(2, 2, *shape)).shape == (2, 2)


def test_size_is_the_boxs_height_in_short_sides() -> None:
    boxes = np.array([[0, 10, 5, 40], [0, 0, 1, 90.0]], np.float32)
    assert face_size(boxes, 160, 90) == pytest.approx([1 / 3, 1.0])


def test_mirrored_faces_turn_the_other_way() -> None:
    points = seen(25, 10)
    assert yaw_of(points[[1, 0, 2, 4, 3]] * [-1, 1]) == pytest.approx(-yaw_of(points))


def test_a_mirrors_numbers_are_the_other_sides() -> None:
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    head = head_of_68()
    np.testing.assert_allclose(mirrored(head[:, :2]), head[:, :2], atol=1e-9, err_msg="a symmetric head is its own")
    five = five_from_68(mirrored(seen(20, head=head)))
    np.testing.assert_allclose(five, five_from_68(seen(20, head=head))[[1, 0, 2, 4, 3]] * [-1, 1], atol=1e-4)


@given(st.floats(-40, 40), st.floats(-60, 60), st.floats(5, 300), st.floats(-1000, 1000))
def test_place_size_and_tilt_do_not_count(yaw: float, roll: float, scale: float, shift: float) -> None:
    head = head_of_68()
    found = yaw_of(seen(yaw, roll, scale, shift, head))
    assert found == pytest.approx(float(yaw_of(seen(yaw, head=head))), abs=1e-5)
    assert found == pytest.approx(-float(yaw_of(seen(-yaw, head=head))), abs=1e-5)
    assert upright(seen(yaw, roll, scale, shift, head)).shape == (136,)


def test_a_head_that_nobody_was_fitted_to_turns_as_it_is_turned() -> None:
    """A head drawn by hand, flatter than people are: the order holds, and the zero; the angle by half."""
    angles = np.arange(-40.0, 41.0, 5.0)
    found = np.array([float(yaw_of(seen(angle, head=head_of_68()))) for angle in angles])
    assert (np.diff(found) > 0).all()
    assert found[len(angles) // 2] == pytest.approx(0, abs=1e-6)
    assert 0.4 < np.polyfit(angles, found, 1)[0] < 1.3


def test_other_numbers_of_points_are_an_error() -> None:
    with pytest.raises(ValueError, match="68 or 5 points"):
        yaw_of(np.zeros((3, 6, 2)))
