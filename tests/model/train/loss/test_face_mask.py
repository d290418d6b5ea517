"""Pixels to latent cells: a hand example, and boxes against the pixels they hold."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.model.train.loss.face_mask import boxes_to_latent, mask_to_latent


def test_mask_to_latent_of_a_hand_example() -> None:
    """One pixel in frame 0, one in frame 4, one in frame 5: latent frames 0, 1 and 2."""
    pixels = torch.zeros(9, 16, 24, dtype=torch.bool)
    pixels[0, 7, 8] = pixels[4, 15, 23] = pixels[5, 0, 0] = pixels[8, 8, 15] = True
    expected = torch.zeros(3, 2, 3, dtype=torch.bool)
    expected[0, 0, 1] = expected[1, 1, 2] = expected[2, 0, 0] = expected[2, 1, 1] = True
    assert torch.equal(mask_to_latent(pixels), expected)
    assert torch.equal(mask_to_latent(pixels[:1]), expected[:1])


corner = st.integers(-20, 60)


@settings(max_examples=60)
@given(boxes=st.lists(st.tuples(corner, corner, corner, corner), min_size=5, max_size=5))
def test_boxes_are_the_mask_of_their_pixels(boxes: list[tuple[int, int, int, int]]) -> None:
    pixels = torch.zeros(5, 32, 40, dtype=torch.bool)
    for frame, (left, top, right, bottom) in enumerate(boxes):
        pixels[frame, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    assert torch.equal(boxes_to_latent(torch.tensor(boxes).float(), 32, 40), mask_to_latent(pixels))


def test_a_frame_without_a_face_holds_no_cell() -> None:
    boxes = torch.full((5, 4), torch.nan)
    boxes[2] = torch.tensor([0.0, 0.0, 8.5, 7.0])
    cells = boxes_to_latent(boxes, 32, 32)
    assert not cells[0].any() and cells[1].nonzero().tolist() == [[0, 0], [0, 1]]
