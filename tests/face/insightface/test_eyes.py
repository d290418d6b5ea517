from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import onnxruntime

from mmbench.errors import MissingDependency, MissingWeights, MMBenchError
from mmbench.face.dlib.recogniser import DlibRecogniser
from mmbench.face.insightface.eyes import InsightFaceBackend
from mmbench.face.insightface.scrfd import decode, letterbox, suppress
from mmbench.face.insightface.session import PROVIDERS
from mmbench.face.make import make_backend


@pytest.fixture(scope="module")
def tiny():
    return InsightFaceBackend(tiny=True)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((math.ceil(height / 6), math.ceil(width / 8), 1), np.uint8))[:height, :width].copy()


@pytest.mark.parametrize(
    ("size", "inner"), [((480, 720), (426, 640)), ((720, 480), (640, 426)), ((64, 64), (640, 640))]
)
def test_letterbox_keeps_the_aspect_top_left(size, inner):
    canvas, scale = letterbox(np.full((*size, 3), 255, np.uint8), 640)
    assert canvas.shape == (640, 640, 3)
    assert (canvas[: inner[0], : inner[1]] == 255).all()
    assert canvas.sum() == 255 * 3 * inner[0] * inner[1]
    assert scale == inner[0] / size[0]


def test_suppression_counts_border_pixels():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 3], [0, 0, 9, 2.9], [20, 20, 30, 30]])
    assert suppress(boxes, 0.4).tolist() == [0, 1, 3]
    assert suppress(boxes, 0.395).tolist() == [0, 2, 3]
    assert suppress(np.empty((0, 4))).tolist() == []


def test_decode_places_faces_by_cell_and_stride():
    side = 64
    outputs = []
    for values in (1, 4, 10):
        outputs += [np.zeros(((side // stride) ** 2 * 2, values), np.float32) for stride in (8, 16, 32)]
    cell = 2 * (4 * 1 + 2)  # stride 16, row 1, column 2
    outputs[1][cell] = 0.9
    outputs[4][cell] = [1, 0.5, 1, 2]
    outputs[7][cell, :2] = [0.25, -0.25]
    (face,) = decode(outputs, side, scale=0.5)
    np.testing.assert_allclose(face.box, np.array([32 - 16, 16 - 8, 32 + 16, 16 + 32]) / 0.5)
    np.testing.assert_allclose(face.points[0], np.array([32 + 4, 16 - 4]) / 0.5)
    np.testing.assert_allclose(face.points[4], np.array([32, 16]) / 0.5)
    assert face.score == pytest.approx(0.9)


def test_tiny_finds_faces_and_embeds_batches_as_single_cuts(tiny):
    frames = [picture(96, 128, seed) for seed in range(3)]
    found = tiny.detect(frames)
    assert all(1 <= len(faces) <= 60 for faces in found)
    largest = max(found[0], key=lambda face: face.box[2] - face.box[0])
    assert largest.box[2] - largest.box[0] > 60
    chips = np.stack([tiny.chip(frame, faces[0]) for frame, faces in zip(frames, found, strict=True)])
    together = tiny.embed(chips)
    assert together.shape == (3, 512) and together.dtype == np.float32
    for chip, row in zip(chips, together, strict=True):
        np.testing.assert_allclose(tiny.embed(chip[None])[0], row, atol=1e-4)
    assert tiny.provenance.random_weights and tiny.provenance.backend == "insightface"
    assert tiny.embed(chips[:0]).shape == (0, 512)


def test_dlibs_embeddings_of_scrfds_faces_are_dlibs(tiny):
    """Same faces as with ArcFace, found by the same session; the numbers are what dlib makes of those boxes."""
    with_dlib = make_backend("insightface+dlib", tiny=True)
    shared = InsightFaceBackend(detector=with_dlib.detector)
    frame = picture(300, 400)
    face = with_dlib.detect([frame])[0][0]
    np.testing.assert_allclose(face.points, tiny.detect([frame])[0][0].points, atol=1e-3)
    recogniser = DlibRecogniser()
    # sessions and networks of their own: equal weights at other places in memory, so sums may round otherwise
    np.testing.assert_allclose(
        with_dlib.embed(with_dlib.chip(frame, face)[None]),
        recogniser.embed(recogniser.chip(frame, face)[None]),
        atol=1e-4,
    )
    chip = shared.chip(frame, face)[None]
    np.testing.assert_allclose(shared.embed(chip), tiny.embed(chip), atol=1e-4)
    assert shared.provenance == with_dlib.provenance == tiny.provenance
    assert shared.embedding_provenance == tiny.embedding_provenance
    assert tiny.embedding_provenance.backend == "insightface"
    made = with_dlib.embedding_provenance
    assert made.backend == with_dlib.name == "insightface+dlib"
    assert made.random_weights and made.versions.keys() >= {"onnxruntime", "dlib"}
    assert made.weights == recogniser.provenance.weights


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match="det-10g"):
        InsightFaceBackend()


def has_cuda() -> bool:
    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def test_the_provenance_names_device_and_provider(tiny):
    assert tiny.provenance.versions["provider"] == "CPUExecutionProvider"
    assert make_backend("insightface", tiny=True, device="cpu:0").provenance.versions["device"] == "cpu:0"


@pytest.mark.skipif(has_cuda(), reason="this onnxruntime has the CUDA provider")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_without_a_cuda_provider_is_an_error_with_the_remedy(device):
    with pytest.raises(MissingDependency, match=f"{device}.*has no CUDAExecutionProvider") as caught:
        make_backend("insightface", tiny=True, device=device)
    assert "mmbench[insightface-gpu]" in caught.value.remedy and "never both" in caught.value.remedy


@pytest.mark.skipif(has_cuda(), reason="this onnxruntime has the CUDA provider")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_an_error_not_a_fall_back(monkeypatch):
    """onnxruntime-gpu without CUDA libraries lists the provider, then quietly makes a session on the processor."""
    claimed = [PROVIDERS["cuda"], *onnxruntime.get_available_providers()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: claimed)
    with pytest.raises(MissingDependency, match="could not start its CUDAExecutionProvider"):
        InsightFaceBackend(tiny=True, device="cuda")


@pytest.mark.parametrize("device", ["mps", "cuda:first", ""])
def test_a_device_onnxruntime_does_not_know_is_an_error(device):
    with pytest.raises(MMBenchError, match="no device"):
        InsightFaceBackend(tiny=True, device=device)


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda(), reason="this onnxruntime has no CUDA provider")
def test_faces_and_embeddings_on_a_gpu_are_the_processors(tiny):
    on_gpu = InsightFaceBackend(tiny=True, device="cuda")
    assert on_gpu.provenance.versions["provider"] == PROVIDERS["cuda"]
    frames = [picture(96, 128, seed) for seed in range(3)]
    chips = []
    for frame, ours, theirs in zip(frames, on_gpu.detect(frames), tiny.detect(frames), strict=True):
        np.testing.assert_allclose(ours[0].box, theirs[0].box, atol=1e-2)
        np.testing.assert_allclose(ours[0].points, theirs[0].points, atol=1e-2)
        chips.append(tiny.chip(frame, theirs[0]))
    expected = tiny.embed(np.stack(chips))
    np.testing.assert_allclose(on_gpu.embed(np.stack(chips)), expected, atol=1e-4 * np.abs(expected).max())
