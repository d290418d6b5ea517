from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmbench.face.official.grey_arcface import GreyArcFace
from mmbench.face.official.same_person import FirstFacePass, cut_of
from mmbench.face.retinaface.detect import prior_boxes
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo

SIDE = 160


class OneFace(nn.Module):
    """RetinaFace's outputs for pictures of 160 px: as many faces as the red of the first pixel says."""

    def forward(self, pictures):
        priors = len(prior_boxes(*pictures.shape[-2:]))
        red = float(pictures[0, 0, 0, 0]) * 0.229 + 0.485
        logits = torch.zeros(1, priors, 2)
        logits[..., 0] = 9.0
        for number in range(round(red * 255 / 10)):
            logits[0, 2 * (number * 200 + 50) + 1] = torch.tensor([0.0, 9.0])
        return torch.zeros(1, priors, 4), logits, torch.zeros(1, priors, 10)


def picture(faces: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    made[0, 0, 0] = 10 * faces
    return made


def test_each_frames_only_face_is_compared_with_the_first_frames() -> None:
    torch.manual_seed(0)
    network = GreyArcFace((8, 8, 8, 8), 16).eval()
    seen = FirstFacePass(OneFace(), network, Provenance("vbench2"), "cpu", SIDE)
    for frames in ([picture(1), picture(1), picture(0), picture(2), picture(1, seed=1)], [picture(0), picture(1)]):
        seen.start(ClipInfo(Path("a.mp4"), len(frames), SIDE, SIDE, 8.0, "container", 8.0, False, "0" * 64))
        for index, frame in enumerate(frames):
            seen.feed(index, frame)
        found = seen.finish()
        if len(frames) == 2:
            assert found.faces.tolist() == [0, 1] and np.isnan(found.cosines).all()
            continue
        assert found.faces.tolist() == [1, 1, 0, 2, 1]
        assert found.cosines[:2] == pytest.approx([1, 1])
        assert np.isnan(found.cosines[2:4]).all() and found.cosines[4] < 0.999


def test_the_cut_is_squeezed_and_framed_in_green() -> None:
    frame = np.zeros((60, 200, 3), np.uint8)
    cut = cut_of(frame, np.array([20.0, 10.0, 120.0, 50.0]), side=200)
    assert cut is not None and cut.shape == (128, 128)
    assert cut[64, 64] == 0 and cut[0, 64] == cut[64, 0] > 100, "the frame drawn around it"
    assert frame.max() == 0, "not into the caller's picture"
    assert cut_of(frame, np.array([300.0, 0, 310, 10]), side=200) is None
    twice = cut_of(frame, np.array([20.9, 10.9, 120.2, 50.2]), side=200)
    np.testing.assert_array_equal(twice, cut_of(frame, np.array([20.0, 10, 120, 50]), side=200))


def test_the_whole_network_has_the_published_keys() -> None:
    with torch.device("meta"):
        state = GreyArcFace().state_dict()
    assert {
        "conv1.weight",
        "layer1.0.prelu.weight",
        "layer2.0.downsample.1.bias",
        "fc5.weight",
        "bn5.running_var",
    } <= set(state)
    assert "layer1.0.downsample.0.weight" not in state
    assert state["conv1.weight"].shape == (64, 1, 3, 3) and state["fc5.weight"].shape == (512, 512 * 64)
