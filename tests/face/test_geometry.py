from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmbench.face.geometry import area, enclosing_box, five_from_68, in_box, inter_ocular, iou, largest, width

coordinates = st.floats(-1000, 1000, width=32)
boxes = arrays(np.float32, (4, 4), elements=coordinates).map(
    lambda b: np.concatenate([np.minimum(b[:, :2], b[:, 2:]), np.maximum(b[:, :2], b[:, 2:])], axis=1)
)


def test_five_points_by_hand():
    points = np.zeros((68, 2), np.float32)
    points[36:42] = [(10, 20), (12, 18), (14, 18), (16, 20), (14, 22), (12, 22)]
    points[42:48] = points[36:42] + np.array([30, 0])
    points[30], points[48], points[54] = (28, 35), (18, 50), (38, 51)
    assert five_from_68(points).tolist() == [[13, 20], [43, 20], [28, 35], [18, 50], [38, 51]]
    assert five_from_68(np.stack([points, points + 1])).shape == (2, 5, 2)


def test_inter_ocular_and_box_coordinates_by_hand():
    points = np.array([[0, 0], [3, 4], [1, 1], [0, 5], [3, 5]], np.float32)
    assert inter_ocular(points) == 5
    inside = in_box(points, np.array([0, 0, 3, 5], np.float32))
    assert inside.tolist() == [[0, 0], [1, 0.8], [1 / 3, 0.2], [0, 1], [1, 1]]


@given(
    arrays(np.float32, (5, 2), elements=st.floats(0, 100, width=32)),
    st.floats(0.1, 10),
    coordinates,
    coordinates,
)
def test_box_coordinates_ignore_where_and_how_large(points, scale, x, y):
    box = np.array([-5, -3, 110, 120], np.float64)
    moved = in_box(points * scale + np.array([x, y]), box * scale + np.array([x, y, x, y]))
    assert moved == pytest.approx(in_box(points, box), abs=1e-4)


@given(boxes)
def test_iou_is_symmetric_bounded_and_one_with_itself(many):
    table = iou(many, many)
    assert np.array_equal(table, table.T)
    assert table.min() >= 0
    assert table.max() <= 1 + 1e-9
    solid = area(many) > 1e-6
    assert np.diag(table)[solid] == pytest.approx(1)


def test_iou_by_hand():
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30], [10, 0, 20, 10]], np.float32)
    assert iou(first, second)[0] == pytest.approx([1 / 3, 1, 0, 0])
    assert iou(first, np.array([[3, 3, 3, 3]], np.float32))[0, 0] == 0


def test_areas_widths_and_the_largest():
    many = [np.array(box, np.float32) for box in ([0, 0, 2, 3], [5, 5, 15, 6], [0, 0, -5, -5])]
    assert [area(box) for box in many] == [6, 10, 0]
    assert width(many[1]) == 10
    assert largest(many) == 1
    assert largest([many[0], many[0]]) == 0


@given(arrays(np.float32, (68, 2), elements=coordinates))
def test_enclosing_box_holds_every_point_and_touches_four(points):
    left, top, right, bottom = enclosing_box(points)
    assert (points[:, 0].min(), points[:, 1].min(), points[:, 0].max(), points[:, 1].max()) == (
        left,
        top,
        right,
        bottom,
    )
