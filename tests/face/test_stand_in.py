"""Stand-ins: one face in the middle, equal vectors for equal pictures, others for others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.face.stand_in import CentreFaces, PictureFaces


@pytest.mark.parametrize("make", [CentreFaces, PictureFaces])
@given(st.integers(16, 200), st.integers(16, 200), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_the_face_is_in_the_middle_and_the_vector_the_pictures_own(make, height, width, seed):
    analyser = make()
    draw = np.random.default_rng(seed)
    pictures = [draw.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2)]
    faces = [analyser.find(picture)[0] for picture in pictures]
    left, top, right, bottom = faces[0].box
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    np.testing.assert_allclose([left + right, top + bottom], [width, height], rtol=1e-6)
    inside = (faces[0].points >= [left, top]) & (faces[0].points <= [right, bottom])
    assert inside.all() and faces[0].points.shape == (5, 2)
    first, again, other = (
        analyser.embed(picture, face)
        for picture, face in ((pictures[0], faces[0]), (pictures[0].copy(), faces[0]), (pictures[1], faces[1]))
    )
    assert first.shape == (analyser.width,) and first.dtype == np.float32
    np.testing.assert_allclose(first, again, rtol=1e-5, atol=1e-5)
    assert np.abs(first - other).max() > 0.05


def test_a_picture_of_one_colour_shows_no_face_to_magic_mirrors_stand_in():
    assert CentreFaces().find(np.full((32, 40, 3), 200, np.uint8)) == []
    assert CentreFaces(width=7).embed(np.eye(32, dtype=np.uint8)[..., None].repeat(3, 2), _face()).shape == (7,)


def _face():
    return PictureFaces().find(np.zeros((32, 32, 3), np.uint8))[0]
