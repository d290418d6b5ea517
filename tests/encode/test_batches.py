"""Which encoders give a picture the same numbers whatever stands beside it in a batch, on a processor.

In exact arithmetic all do: no layer looks across a batch in evaluation. What differs is the order in which a library
sums, which it chooses by the size of the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmbench.encode.clip.frames import BASE, make_clip
from mmbench.encode.inception.classes import InceptionPass, make_inception
from mmbench.encode.viclip.alignment import make_viclip, normalise

PICTURES = np.random.default_rng(7).integers(0, 255, (12, 224, 224, 3), np.uint8)
Rows = NDArray[np.float32]
Encode = Callable[[NDArray[np.uint8]], Rows]


def inception() -> Encode:
    made = make_inception(tiny=True)

    def rows(pictures: NDArray[np.uint8]) -> Rows:
        each = InceptionPass(made)
        each._waiting, each._done = list(pictures), []
        return each.finish().log_probs

    return rows


def clip() -> Encode:
    return make_clip(BASE, tiny=True).pictures


def viclip() -> Encode:
    """Clips of one frame repeated, so that a row is a clip."""
    made = make_viclip(tiny=True)

    def rows(pictures: NDArray[np.uint8]) -> Rows:
        clips = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())[:, None].expand(-1, 8, -1, -1, -1)
        with torch.inference_mode():
            found: Rows = made.video_tower(normalise(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])).numpy()
        return found

    return rows


@pytest.mark.parametrize("make", [inception, clip, viclip])
@pytest.mark.parametrize("sizes", [(1,) * 12, (2, 3, 7), (8, 4), (12,)])
def test_a_batch_changes_no_more_than_the_last_bits(make: Callable[[], Encode], sizes: tuple[int, ...]) -> None:
    """Against the batches of the house: four pictures, whatever clip they are of."""
    encode = make()
    four = np.concatenate([encode(PICTURES[k : k + 4]) for k in range(0, 12, 4)])
    ends = np.cumsum(sizes)
    other = np.concatenate([encode(PICTURES[end - size : end]) for size, end in zip(sizes, ends, strict=True)])
    assert four.shape == other.shape
    assert float(np.abs(four - other).max()) <= 1e-5 * float(np.abs(four).max())


@pytest.mark.parametrize("make", [inception, clip, viclip])
def test_neighbours_in_a_batch_do_not_matter(make: Callable[[], Encode]) -> None:
    """At one size of batch the numbers are the same bits, whoever stands beside: no sum runs over a batch."""
    encode = make()
    first, second = encode(PICTURES[:4]), encode(np.concatenate([PICTURES[:1], PICTURES[6:9]]))
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])
