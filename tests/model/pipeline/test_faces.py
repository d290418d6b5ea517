"""Reference pictures: choice of the face, crop, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.errors import ReferenceFaceError, RequestError
from mmbench.model.pipeline.faces import (
    AnalysedFace,
    BackendAnalyser,
    CentreAnalyser,
    analyse_references,
    crop_square,
    to_rgb,
)


class Two:
    """Finds a small and a large face."""

    def __call__(self, image):
        return [
            AnalysedFace((0, 0, 4, 4), np.zeros(3, np.float32)),
            AnalysedFace((4, 4, 14, 16), np.ones(3, np.float32)),
        ]


def test_largest_face_is_taken():
    got = analyse_references(np.zeros((20, 20, 3), np.uint8), Two(), 8, 3)
    assert got.embeddings.tolist() == [[[1, 1, 1]]]
    assert got.pixel_values.shape == (1, 1, 3, 8, 8)


def test_crop_is_white_padded_and_centred():
    image = np.zeros((10, 10, 3), np.uint8)
    whole = crop_square(image, (0, 0, 10, 10), 20, margin=2.0)
    assert (whole[10, 10] == 0).all()
    assert (whole[0] == 255).all()
    assert (whole[:, -1] == 255).all()
    inside = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    assert np.array_equal(crop_square(inside, (2, 3, 6, 7), 4, margin=1.0), inside[3:7, 2:6])


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
        analyse_references([reference, blank], CentreAnalyser(), 8, 32)
    with pytest.raises(RequestError, match="empty list"):
        analyse_references([], CentreAnalyser(), 8, 32)
    with pytest.raises(RequestError, match=r"\(512,\)"):
        analyse_references(reference, CentreAnalyser(), 8, 512)


def test_stand_in_tells_pictures_apart(reference):
    from mmbench.model.small.nano import example_reference

    vectors = [CentreAnalyser()(np.asarray(x))[0].embedding for x in (reference, reference, example_reference(1))]
    assert np.array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).max() > 0.1


def test_face_backends_are_adapted():
    class Box:
        box = np.array([1, 2, 3, 5], np.float32)

    class Backend:
        def detect(self, frames):
            return [[Box()] if frame.any() else [] for frame in frames]

        def chip(self, frame, face):
            return frame[:2, :2]

        def embed(self, chips):
            return chips.reshape(len(chips), -1).astype(np.float32)

    analyser = BackendAnalyser(Backend())
    face = analyser(np.ones((8, 8, 3), np.uint8))[0]
    assert face.box == (1, 2, 3, 5)
    assert face.embedding.shape == (12,)
    assert analyser(np.zeros((8, 8, 3), np.uint8)) == []
