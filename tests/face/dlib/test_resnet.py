"""dlib's recogniser in torch: equal to dlib's own to rounding, the same for every neighbour, strict about its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmbench.errors import WeightsError
from mmbench.face.dlib.recogniser import BATCH, CHIP_SIZE, DlibRecogniser
from mmbench.face.dlib.resnet import load_resnet
from mmbench.face.dlib.stored import read_layers
from mmbench.weights.checked import checked


@pytest.fixture(scope="module")
def recogniser() -> DlibRecogniser:
    return DlibRecogniser()


@pytest.fixture(scope="module")
def file() -> Path:
    return Path(checked("dlib-recogniser", {}))


def cuts(seed: int, count: int, cell: int) -> NDArray[np.uint8]:
    """Random checks of `cell` pixels a side: from noise to one colour."""
    rng = np.random.default_rng(seed)
    side = -(-CHIP_SIZE // cell)
    small = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(cell, 1).repeat(cell, 2)[:, :CHIP_SIZE, :CHIP_SIZE])


@pytest.mark.parametrize("cell", [1, 7, 40, CHIP_SIZE])
def test_vectors_are_dlibs_own_to_rounding(recogniser: DlibRecogniser, file: Path, cell: int) -> None:
    seen = cuts(cell, 3, cell)
    own = np.asarray(dlib.face_recognition_model_v1(str(file)).compute_face_descriptor(list(seen)))
    np.testing.assert_allclose(recogniser.embed(seen), own, rtol=0, atol=5e-6)
    assert np.linalg.norm(own, axis=1).min() > 0.5


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), place=st.integers(0, BATCH - 1), count=st.integers(1, BATCH + 2))
def test_a_vector_does_not_depend_on_its_neighbours(
    recogniser: DlibRecogniser, seed: int, place: int, count: int
) -> None:
    one, place = cuts(seed, 1, 10), min(place, count - 1)
    first, second = (cuts(seed + other, count, 3) for other in (100, 200))
    first[place] = second[place] = one[0]
    among = recogniser.embed(first)[place]
    np.testing.assert_array_equal(recogniser.embed(second)[place], among)  # in one place of a batch: the same sums
    np.testing.assert_allclose(recogniser.embed(one)[0], among, rtol=0, atol=1e-5)


def test_no_cut_gives_no_vector(recogniser: DlibRecogniser) -> None:
    assert recogniser.embed(np.empty((0, CHIP_SIZE, CHIP_SIZE, 3), np.uint8)).shape == (0, 128)


def test_what_a_module_before_left_set_changes_nothing(recogniser: DlibRecogniser) -> None:
    seen = cuts(5, 2, 9)
    expected = recogniser.embed(seen)
    with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
        np.testing.assert_array_equal(recogniser.embed(seen), expected)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_by_name(file: Path, tmp_path: Path, data: Any) -> None:
    held = bytearray(file.read_bytes())
    if data.draw(st.booleans(), label="cut off"):
        del held[data.draw(st.integers(0, len(held) - 400), label="length") :]
    else:  # the first layers' names, sizes and versions
        start = held.index(b"con_4")
        for _ in range(4):
            held[start + data.draw(st.integers(0, 12))] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.dat"
    damaged.write_bytes(held)
    try:
        network = load_resnet(damaged)
    except WeightsError as error:
        assert "damaged.dat" in str(error)
    else:  # a change that leaves the layers what they are
        assert [layer.shape for layer in read_layers(damaged)] == [layer.shape for layer in read_layers(file)]
        assert network.head.weight.shape == (128, 256)


def test_another_network_of_dlibs_is_refused() -> None:
    with pytest.raises(WeightsError, match="other layers"):
        load_resnet(checked("dlib-detector-mmod", {}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_processors_vectors(recogniser: DlibRecogniser) -> None:
    seen = cuts(3, 11, 10)
    there = DlibRecogniser("cuda")
    assert there.provenance.versions["device"] == "cuda"
    np.testing.assert_allclose(there.embed(seen), recogniser.embed(seen), rtol=0, atol=1e-4)
