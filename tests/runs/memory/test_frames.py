"""Frames in memory: every way to hold them is the same clip; what is ambiguous or out of range is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mmbench.errors import ManifestError, MediaError
from mmbench.runs.memory.frames import open_frames, to_frames

SHAPES = st.tuples(st.integers(1, 5), st.integers(4, 9), st.integers(4, 9), st.just(3))


@given(hnp.arrays(np.uint8, SHAPES))
@settings(max_examples=40, deadline=None)
def test_all_that_holds_the_same_pixels_is_the_same_clip(frames: np.ndarray) -> None:
    torched = torch.from_numpy(frames.copy())
    ways: list[Any] = [
        frames,
        frames[None],
        frames.transpose(0, 3, 1, 2),
        np.asfortranarray(frames),
        frames.astype(np.float32) / 255,
        frames.astype(np.float64) / 255,
        torched,
        torched.permute(0, 3, 1, 2),
        (torched.float() / 255).requires_grad_(),
        list(frames),
        [torch.from_numpy(frame.copy()) for frame in frames],
        [Image.fromarray(frame) for frame in frames],
    ]
    for way in ways:
        found = to_frames(way)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, frames)
    clip = open_frames(frames, fps=8)
    np.testing.assert_array_equal(np.stack(list(clip.frames())), frames)
    np.testing.assert_array_equal(np.stack(list(clip.frames())), frames)  # again from the beginning
    assert clip.info.sha256 == open_frames(torched, fps=8).info.sha256


def test_half_precision_is_near() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    for dtype in (torch.float16, torch.bfloat16):
        found = to_frames((torch.from_numpy(frames).float() / 255).to(dtype))
        assert np.abs(found.astype(int) - frames).max() <= 1


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((4, 3, 8, 3)), "two ways"),
        (np.zeros((4, 8, 8, 4)), "no three colours"),
        (np.zeros((8, 8, 3)), "shape"),
        (np.zeros((0, 8, 8, 3)), "shape"),
        (np.zeros((2, 2, 8, 8, 3)), "shape"),
        (np.full((2, 8, 8, 3), -1.0), "floats from -1"),
        (np.full((2, 8, 8, 3), 255.0), "floats from 255"),
        (np.full((2, 8, 8, 3), np.nan), "floats from nan"),
        (np.zeros((2, 8, 8, 3), np.int64), "int64"),
        ([], "no clip"),
        (7, "no clip"),
        (b"clip.mp4", "bytes is no clip"),
        (["a.png", Path("b.png")], "the path a.png"),
        (np.zeros((2, 8, 0, 3), np.uint8), "shape"),
        (torch.zeros(2, 8, 8, 3, device="meta"), "tensor cannot be read"),
        (torch.zeros(2, 8, 8, 3).to_sparse(), "tensor cannot be read"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], "differ in size"),
    ],
)
def test_what_is_no_clip_is_named(frames: Any, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        to_frames(frames)


def test_channels_first_of_all_are_told_how_to_turn() -> None:
    with pytest.raises(MediaError) as found:
        to_frames(torch.zeros(1, 3, 5, 8, 8))
    assert "permute(1, 0, 2, 3)" in found.value.remedy


@given(st.one_of(st.text(), st.floats(max_value=0), st.just(10**400), st.lists(st.floats()), st.just(float("nan"))))
def test_a_rate_that_is_none(rate: Any) -> None:
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(ManifestError, match="fps"):
        open_frames(frames, fps=rate)
    assert (open_frames(frames).info.fps, open_frames(frames).info.fps_source) == (8.0, "assumed")
