"""Reference pictures: choice of the face, crop, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.errors import ReferenceFaceError, RequestError
from mmbench.face.stand_in import CentreFaces
from mmbench.face.types import Face
from mmbench.model.pipeline.faces import analyse_references, to_rgb


class Two:
    """Finds a small and a large face; the vector of a face repeats its left edge over 4."""

    def find(self, picture, side=640):
        boxes = np.array([[0, 0, 4, 4], [4, 4, 14, 16]], np.float32)
        return [Face(box, 1.0, np.zeros((5, 2), np.float32), None, box) for box in boxes]

    def embed(self, picture, face):
        return np.full(3, face.box[0] / 4, np.float32)


def test_largest_face_is_taken():
    got = analyse_references(np.zeros((20, 20, 3), np.uint8), Two(), 8, 3)
    assert got.embeddings.tolist() == [[[1, 1, 1]]]
    assert got.pixel_values.shape == (1, 1, 3, 8, 8)


def test_pixels_are_clip_normalised():
    white = analyse_references(np.full((20, 20, 3), 255, np.uint8), Two(), 4, 3).pixel_values
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    assert torch.allclose(white[0, 0].mean(dim=(1, 2)), (1 - mean) / std, atol=1e-5)


def test_all_picture_types_agree(reference):
    array = np.asarray(reference)
    tensor = torch.from_numpy(array).permute(2, 0, 1).float() / 255
    assert np.array_equal(to_rgb(reference), array)
    assert np.array_equal(to_rgb(array), array)
    assert np.array_equal(to_rgb(tensor), array)
    assert to_rgb(Image.new("L", (3, 2))).shape == (2, 3, 3)


@pytest.mark.parametrize("bad", ["face.png", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), torch.zeros(4, 4, 3)])
def test_other_pictures_are_refused(bad):
    with pytest.raises(RequestError, match="PIL image"):
        to_rgb(bad)


def test_no_face_and_no_picture_are_errors(reference):
    blank = Image.new("RGB", (32, 32), "white")
    with pytest.raises(ReferenceFaceError, match="picture 2 of 2"):
        analyse_references([reference, blank], CentreFaces(), 8, 32)
    with pytest.raises(RequestError, match="empty list"):
        analyse_references([], CentreFaces(), 8, 32)
    with pytest.raises(RequestError, match=r"\(512,\)"):
        analyse_references(reference, CentreFaces(), 8, 512)
