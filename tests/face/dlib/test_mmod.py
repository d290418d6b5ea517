"""dlib's CNN detector in torch: dlib's own boxes and scores at any size of picture, and no crash at the smallest."""

from __future__ import annotations

import dlib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmbench.errors import WeightsError
from mmbench.face.dlib.mmod import Mmod, load_mmod, tile
from mmbench.weights.checked import checked


@pytest.fixture(scope="module")
def network() -> Mmod:
    return load_mmod(checked("dlib-detector-mmod", {}))


@pytest.fixture(scope="module")
def original() -> dlib.cnn_face_detection_model_v1:
    return dlib.cnn_face_detection_model_v1(checked("dlib-detector-mmod", {}))


def placed(portrait: NDArray[np.uint8], height: int, width: int, face: int, seed: int) -> NDArray[np.uint8]:
    """Noise of that size with the portrait, `face` pixels wide, somewhere in or over its border, twice."""
    import cv2

    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    high = max(2, face * portrait.shape[0] // portrait.shape[1])
    small = cv2.resize(portrait, (face, high), interpolation=cv2.INTER_AREA)
    for _ in range(2):
        top, left = rng.integers(-high // 3, max(1, height - high // 2)), rng.integers(-face // 3, width)
        part = small[max(0, -top) :, max(0, -left) :][: height - max(0, top), : width - max(0, left)]
        scene[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
    return scene


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(14, 330), width=st.integers(14, 330), face=st.integers(60, 300), seed=st.integers(0, 1 << 20))
def test_boxes_and_scores_are_dlibs_own(
    network: Mmod,
    original: dlib.cnn_face_detection_model_v1,
    portrait: NDArray[np.uint8],
    height: int,
    width: int,
    face: int,
    seed: int,
) -> None:
    scene = placed(portrait, height, width, face, seed)
    theirs = [
        (found.rect.left(), found.rect.top(), found.rect.right(), found.rect.bottom(), found.confidence)
        for found in original(scene, 0)
    ]
    with torch.inference_mode():
        ours = network.detect(scene)
    unsure = [found for found in (*theirs, *ours) if abs(found[4]) < 1e-4]  # rounding may decide these
    if not unsure:
        assert [tuple(found[:4]) for found in ours] == [found[:4] for found in theirs]
        np.testing.assert_allclose([f.score for f in ours], [f[4] for f in theirs], rtol=0, atol=1e-4)


def test_the_portrait_is_found_once(network: Mmod, portrait: NDArray[np.uint8]) -> None:
    with torch.inference_mode():
        (found,) = network.detect(portrait)
    assert found.score > 0.5 and found.right - found.left > 40


@settings(max_examples=200, deadline=None)
@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_copies_lie_within_the_canvas_and_apart(height: int, width: int) -> None:
    tiles, (high, wide) = tile(height, width)
    assert tiles[0][2:] == (width, height)
    for number, (left, top, across, tall) in enumerate(tiles):
        assert left >= 0 and top >= 0 and left + across <= wide and top + tall <= high
        for other in tiles[:number]:
            apart_x = left >= other.left + other.width or other.left >= left + across
            apart_y = top >= other.top + other.height or other.top >= top + tall
            assert apart_x or apart_y


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_small_pictures_end_nothing(network: Mmod, height: int, width: int) -> None:
    with torch.inference_mode():
        assert network.detect(np.full((height, width, 3), 99, np.uint8)) == []


def test_another_network_of_dlibs_is_refused() -> None:
    with pytest.raises(WeightsError, match="other layers"):
        load_mmod(checked("dlib-recogniser", {}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_processors_faces(network: Mmod, portrait: NDArray[np.uint8]) -> None:
    there = load_mmod(checked("dlib-detector-mmod", {})).to("cuda")
    with torch.inference_mode():
        assert [f[:4] for f in there.detect(portrait)] == [f[:4] for f in network.detect(portrait)]
