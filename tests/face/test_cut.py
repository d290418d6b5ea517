"""Cuts against arithmetic done by hand: alignment to the template, squares around boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.face.cut import TEMPLATE, aligned, similarity, square_cut


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((math.ceil(height / 6), math.ceil(width / 8), 1), np.uint8))[:height, :width].copy()


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_similarity_recovers_rotation_scale_and_shift(angle):
    points = np.random.default_rng(0).normal(0, 10, (5, 2))
    turn = 1.7 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = similarity(points, points @ turn.T + [3, -8])
    np.testing.assert_allclose(matrix, np.column_stack([turn, [3, -8]]), atol=1e-9)


def test_similarity_never_mirrors_and_refuses_one_point():
    points = TEMPLATE.copy()
    mirrored = points * [-1, 1]
    assert np.linalg.det(similarity(points, mirrored)[:, :2]) > 0
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2)), points)


def test_a_face_on_the_template_is_cut_out_unchanged():
    frame = picture(112, 112)
    np.testing.assert_array_equal(aligned(frame, TEMPLATE), frame)


def test_an_enlarged_and_moved_face_comes_back_to_the_template():
    frame = picture(400, 400)
    chip = aligned(frame, TEMPLATE * 2 + [100, 60])
    np.testing.assert_array_equal(chip[::8, ::8], frame[60:284:16, 100:324:16])


@given(st.floats(-3, 3), st.floats(0.5, 3), st.tuples(st.floats(-50, 200), st.floats(-50, 200)), st.sampled_from("fd"))
@settings(deadline=None, max_examples=50)
def test_any_turned_and_moved_template_goes_back_to_the_template(angle, scale, shift, kind):
    """In the points' precision: float32 carries seven digits of coordinates below 1000."""
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (TEMPLATE @ turn.T + shift).astype(kind)
    matrix = similarity(points, TEMPLATE.astype(kind))
    back = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, TEMPLATE, atol=2e-3 if kind == "f" else 1e-9)


def test_alignment_puts_the_points_on_the_template():
    frame = np.zeros((200, 240, 3), np.uint8)
    points = (TEMPLATE * 1.4 + [30, 20]).astype(np.float32)
    for index, (x, y) in enumerate(points.round().astype(int)):
        frame[y - 3 : y + 4, x - 3 : x + 4, index % 3] = 255
    chip = aligned(frame, points)
    for index, (x, y) in enumerate(TEMPLATE.round().astype(int)):
        assert chip[y, x, index % 3] > 200


def test_a_square_is_white_padded_and_centred():
    image = np.zeros((10, 10, 3), np.uint8)
    whole = square_cut(image, np.array([0, 0, 10, 10]), 20, margin=2.0)
    assert (whole[10, 10] == 0).all()
    assert (whole[0] == 255).all()
    assert (whole[:, -1] == 255).all()
    inside = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    assert np.array_equal(square_cut(inside, np.array([2, 3, 6, 7]), 4, margin=1.0), inside[3:7, 2:6])
