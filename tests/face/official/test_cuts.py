from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmbench.face.cut import TEMPLATE, aligned
from mmbench.face.official.curricular import CurricularFace
from mmbench.face.official.cuts import CutPass, cut_face
from mmbench.face.types import Face
from mmbench.video.clip import ClipInfo

POINTS = (TEMPLATE + 20).astype(np.float32)


class Sees:
    """Finds two faces where the picture is at least so high."""

    def __init__(self, least: int = 0) -> None:
        self.least, self.shapes = least, []

    def detect(self, frame):
        self.shapes.append(frame.shape)
        if frame.shape[0] < self.least:
            return []
        small, large = np.array([0, 0, 9, 9.0]), np.array([0, 0, 90, 90.0])
        return [Face(box, 0.9, points, None, box) for box, points in ((small, POINTS - 15), (large, POINTS))]


def picture(height=200, width=160):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_largest_face_is_cut_twice():
    cut = cut_face(Sees(), picture())
    assert cut is not None and not cut.padded
    np.testing.assert_array_equal(cut.small, aligned(picture(), POINTS))
    assert cut.large.shape == (224, 224, 3)
    half = cut.large.reshape(112, 2, 112, 2, 3).mean((1, 3))
    assert np.corrcoef(half[20:90, 20:90].ravel(), cut.small[20:90, 20:90].ravel())[0, 1] > 0.5


def test_a_second_look_with_a_grey_border_and_points_moved_back():
    detector = Sees(least=201)
    cut = cut_face(detector, picture())
    assert detector.shapes == [(200, 160, 3), (300, 240, 3)]
    assert cut is not None and cut.padded
    padded = np.pad(picture(), ((50, 50), (40, 40), (0, 0)), constant_values=128)
    np.testing.assert_array_equal(cut.small, aligned(padded, POINTS))
    np.testing.assert_array_equal(cut.large, aligned(picture(), POINTS - np.float32([40, 50]), 224))
    assert cut_face(Sees(least=10_000), picture()) is None


def test_only_the_protocols_frames_are_looked_at():
    detector = Sees()
    seen = CutPass(detector)
    seen.start(ClipInfo(Path("a.mp4"), 100, 160, 200, 8.0, "container", 8.0, False, "0" * 64))
    for index in range(100):
        seen.feed(index, picture())
    assert len(detector.shapes) == len(seen.finish()) < 16 + 32, "frames of both protocols once"


def test_the_whole_network_has_the_published_keys_and_size():
    with torch.device("meta"):
        network = CurricularFace()
    state = network.state_dict()
    assert {"input_layer.0.weight", "body.0.res_layer.0.weight"} <= set(state)
    assert "body.3.shortcut_layer.1.running_mean" in state and "body.1.shortcut_layer.0.weight" not in state
    assert state["output_layer.3.weight"].shape == (512, 512 * 7 * 7)
    assert "output_layer.4.running_var" in state and "output_layer.4.weight" not in state
    assert len(network.body) == 49
    assert round(sum(t.numel() * t.element_size() for t in state.values()) / 1e6) == 261, "MB, as published"
