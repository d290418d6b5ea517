"""Fitting pictures, CLIP's input, the generators' own steps: pure functions against independent readings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.baselines.consisid.faces import on_white, shrink
from mmbench.baselines.dynamicrafter.model import blur_axis, clip_view
from mmbench.baselines.id_animator.model import average_references, crop_face
from mmbench.baselines.photomaker_v2.model import BUCKETS, PhotoMakerV2, merge_step
from mmbench.baselines.pictures import clip_pixels, cover
from mmbench.face.stand_in import PictureFaces


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8))


@pytest.mark.parametrize("source", [(720, 480), (1216, 832), (300, 900), (999, 333), (721, 479)])
def test_cover_fills_the_frame_without_stretching(source: tuple[int, int]) -> None:
    found = cover(gradient(*source), (480, 720))
    assert found.size == (720, 480)
    red = np.asarray(found)[240, :, 0].astype(float)
    scale = max(720 / source[0], 480 / source[1])
    shown = 720 / (source[0] * scale)
    assert red[-5] - red[5] == pytest.approx(255 * shown, abs=8)


def test_a_picture_that_fits_is_not_resampled() -> None:
    picture = gradient(720, 480)
    assert cover(picture, (480, 720)) is picture


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (100, 300), (223, 225)])
def test_clip_pixels_are_those_of_the_published_processor(size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)()
    picture = gradient(*size)
    expected = processor([picture], return_tensors="pt").pixel_values
    assert torch.allclose(clip_pixels([picture]), expected, atol=1e-5)


def test_dynamicrafters_view_keeps_corners_and_constants() -> None:
    flat = clip_view(torch.full((1, 3, 60, 90), 0.25), 28)
    assert flat.std(dim=(2, 3)).max() < 1e-5
    small = torch.rand((1, 3, 20, 24), generator=torch.Generator().manual_seed(0)) * 2 - 1
    corner = ((small[..., 0, 0] + 1) / 2 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor(
        [0.26862954, 0.26130258, 0.27577711]
    )
    assert torch.allclose(clip_view(small, 28)[..., 0, 0], corner, atol=1e-5)


def test_the_blur_is_a_normalised_gaussian() -> None:
    spike = torch.zeros((1, 1, 1, 21))
    spike[..., 10] = 1
    found = blur_axis(spike, -1, 1.5)[0, 0, 0]
    weights = torch.tensor([math.exp(-(d**2) / (2 * 1.5**2)) for d in range(-3, 4)])
    assert torch.allclose(found[7:14], weights / weights.sum(), atol=1e-6)
    assert found.sum() == pytest.approx(1)


def test_first_frames_are_made_at_the_training_size_nearest_in_shape() -> None:
    maker = PhotoMakerV2()
    maker.variant = "realvisxl4"
    assert maker.bucket((480, 720)) == (832, 1216)
    assert maker.bucket((576, 1024)) == (768, 1344)
    assert maker.bucket((320, 512)) == (768, 1280)
    assert maker.bucket((512, 512)) == (1024, 1024)
    assert all(height % 64 == 0 and width % 64 == 0 for height, width in BUCKETS)


def test_the_identity_enters_after_a_fifth_of_the_steps() -> None:
    assert [merge_step(steps) for steps in (50, 25, 4, 200)] == [10, 5, 0, 30]


def test_face_tokens_of_several_references_are_averaged() -> None:
    tokens = torch.rand((2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    (found,) = average_references(None, None, [tokens])
    assert torch.allclose(found, ((tokens[:, 0] + tokens[:, 1] + tokens[:, 2]) / 3)[:, None])


def test_consisids_background_is_white_in_colour_and_grey() -> None:
    face = torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    background = torch.zeros((1, 1, 4, 4), dtype=torch.bool)
    background[..., :2] = True
    colour, grey = on_white(face, background)
    assert (colour[..., :2] == 1).all() and (grey[..., :2] == 1).all()
    assert torch.equal(colour[..., 2:], face[..., 2:])
    pixel = face[0, :, 3, 3]
    assert torch.allclose(grey[0, :, 3, 3], (0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]).expand(3))
    assert shrink(np.zeros((2048, 100, 3), np.uint8)).shape == (1024, 50, 3)
    assert shrink(np.zeros((20, 100, 3), np.uint8)).shape == (20, 100, 3)


def test_the_face_given_to_clip_is_an_enlarged_cut() -> None:
    pixels = np.asarray(gradient(240, 200))
    (face,) = PictureFaces().find(pixels)
    assert crop_face(pixels, face).size == (224, 224)
