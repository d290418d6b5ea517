"""FMref against hand-made landmark tracks and the invariances it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.metrics.fm_ref import fm_ref, in_box, in_pose_units

FACE = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])
BOX = np.array([20.0, 20, 80, 100])


def test_one_moved_point_by_hand() -> None:
    moved = FACE.copy()
    moved[2] += [6, 8]  # 10 px; in the 60x80 box (0.1, 0.1)
    result = fm_ref(in_box(moved[None], BOX[None]), in_box(FACE[None], BOX[None]))
    assert result.mean == pytest.approx(np.sqrt(0.02))


def test_several_references_are_averaged() -> None:
    other = FACE + [[0, 0], [0, 0], [60, 0], [0, 0], [0, 0]]
    result = fm_ref(in_box(FACE[None], BOX[None]), in_box(np.stack([FACE, other]), np.stack([BOX, BOX])))
    assert result.mean == pytest.approx(0.5)


@settings(max_examples=50)
@given(st.floats(0.2, 5), st.floats(-200, 200), st.floats(-200, 200))
def test_fm_ref_ignores_where_and_how_large_the_face_is(zoom: float, dx: float, dy: float) -> None:
    points = zoom * FACE + (dx, dy)
    box = np.concatenate([zoom * BOX[:2] + (dx, dy), zoom * BOX[2:] + (dx, dy)])
    assert fm_ref(in_box(points[None], box[None]), in_box(FACE[None], BOX[None])).mean == pytest.approx(0, abs=1e-9)
    assert fm_ref(in_pose_units(points[None]), in_pose_units(FACE[None])).mean == pytest.approx(0, abs=1e-9)


def test_fm_ref_without_a_face_is_refused() -> None:
    nothing = np.full((16, 5, 2), np.nan)
    with pytest.raises(ValueError, match="no frame has a face"):
        fm_ref(nothing, FACE[None])
