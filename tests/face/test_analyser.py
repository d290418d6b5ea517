"""Faces of reference pictures: the adapter of backends, and which face of which picture is taken."""

from __future__ import annotations

import numpy as np
import pytest

from mmbench.errors import ReferenceFaceError
from mmbench.face.analyser import BackendAnalyser, surest_of_each
from mmbench.face.stand_in import PictureFaces
from mmbench.face.types import Face


class Shy(PictureFaces):
    """Sees a face only in wide pictures, and only at a small detector size."""

    def find(self, picture, side=640):
        height, width = picture.shape[:2]
        return super().find(picture, side) if width > height and side < 500 else []


def test_pictures_without_a_face_are_left_out():
    pictures = [np.zeros((96, 64, 3), np.uint8), np.zeros((64, 96, 3), np.uint8)]
    ((position, face),) = surest_of_each(Shy(), pictures, (640, 320))
    assert position == 1
    np.testing.assert_array_equal(face.box, PictureFaces().find(pictures[1])[0].box)
    with pytest.raises(ReferenceFaceError, match="None of the 1"):
        surest_of_each(Shy(), pictures[:1], (640, 320))
    with pytest.raises(ReferenceFaceError):
        surest_of_each(Shy(), pictures, (640,))


def test_the_first_of_several_faces_is_taken():
    class Two(PictureFaces):
        def find(self, picture, side=640):
            boxes = np.array([[0, 0, 4, 4], [4, 4, 60, 60]], np.float32)
            return [Face(box, 1.0, np.zeros((5, 2), np.float32), None, box) for box in boxes]

    ((_, face),) = surest_of_each(Two(), [np.zeros((64, 64, 3), np.uint8)], (640,))
    assert face.box[2] == 4


def test_face_backends_are_adapted():
    class Backend:
        def detect(self, frames):
            box = np.array([1, 2, 3, 5], np.float32)
            face = Face(box, 1.0, np.zeros((5, 2), np.float32), None, box)
            return [[face] if frame.any() else [] for frame in frames]

        def chip(self, frame, face):
            left, top = face.box[:2].astype(int)
            return frame[top : top + 2, left : left + 2]

        def embed(self, chips):
            return chips.reshape(len(chips), -1).astype(np.float32)

    analyser = BackendAnalyser(Backend())
    picture = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    (face,) = analyser.find(picture)
    assert face.box.tolist() == [1, 2, 3, 5]
    np.testing.assert_array_equal(analyser.embed(picture, face), picture[2:4, 1:3].ravel())
    assert analyser.find(np.zeros((8, 8, 3), np.uint8)) == []
