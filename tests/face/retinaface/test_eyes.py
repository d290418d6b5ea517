from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from mmbench.errors import MissingWeights, MMBenchError
from mmbench.face.make import make_backend
from mmbench.face.retinaface.detect import decode, detect_faces, in_layout, normalise, prior_boxes
from mmbench.face.retinaface.eyes import GPU_BATCH, GPU_BUDGET, GPU_BYTES_PER_PIXEL, RetinaFaceBackend, frames_in_budget
from mmbench.face.retinaface.net import RetinaFace, TinyRetinaFace, large_retinaface
from mmbench.face.types import BatchedBackend


@pytest.fixture(scope="module")
def tiny():
    return RetinaFaceBackend(tiny=True)


def frames_of(n: int, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 8, 3), dtype=np.uint8)
    kron = np.kron(coarse, np.ones((1, math.ceil(height / 6), math.ceil(width / 8), 1), np.uint8))
    return list(kron[:, :height, :width].copy())


def test_the_real_network_has_the_published_keys():
    with torch.device("meta"):
        network = large_retinaface()
    state = network.state_dict()
    assert len(state) == 456
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(27.29e6, rel=1e-3)
    prefixes = {key.split(".")[0] for key in state}
    assert prefixes == {"body", "fpn", "ssh1", "ssh2", "ssh3", "ClassHead", "BboxHead", "LandmarkHead"}
    assert {"body.layer4.2.bn3.weight", "fpn.merge1.0.weight", "ssh1.conv7x7_3.1.running_var"} <= set(state)


@pytest.mark.parametrize(("height", "width", "count"), [(480, 720, 14190), (640, 960, 25200), (33, 50, None)])
def test_priors_equal_the_loop_of_the_original(height, width, count):
    expected = []
    for stride, sizes in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for row, column in product(range(math.ceil(height / stride)), range(math.ceil(width / stride))):
            for side in sizes:
                centre = (column + 0.5) * stride / width, (row + 0.5) * stride / height
                expected.append([*centre, side / width, side / height])
    priors = prior_boxes(height, width)
    torch.testing.assert_close(priors, torch.tensor(expected), rtol=0, atol=1e-6)  # the original counts in doubles
    assert count is None or len(priors) == count


def test_decode_places_boxes_and_points_and_suppresses_overlaps():
    height, width = 64, 96
    priors = prior_boxes(height, width)
    boxes, points = torch.zeros(len(priors), 4), torch.zeros(len(priors), 10)
    logits = torch.tensor([[5.0, 0.0]]).repeat(len(priors), 1)
    index = 2 * (12 * 3 + 5)  # stride 8, row 3, column 5, side 16
    logits[index] = torch.tensor([0.0, 4.0])
    logits[index + 1] = torch.tensor([0.0, 2.0])  # side 32, same centre: overlap 1/4, kept
    logits[index + 2] = torch.tensor([0.0, 3.0])  # side 16, one cell to the right: overlap 1/3, kept
    boxes[index + 2, 0] = -4.0  # moved 0.1 * 4 * 16 px to the left: overlap 0.82, suppressed
    points[index, 0:2] = torch.tensor([1.0, -1.0])
    first, second = decode(boxes, logits, points, (height, width), factor=(2.0, 2.0))
    np.testing.assert_allclose(first.box, np.array([36, 20, 52, 36]) * 2, atol=1e-4)
    np.testing.assert_allclose(first.points[0], np.array([44 + 1.6, 28 - 1.6]) * 2, atol=1e-4)
    np.testing.assert_allclose(first.points[1], np.array([44, 28]) * 2, atol=1e-4)
    np.testing.assert_allclose(second.box, np.array([28, 12, 60, 44]) * 2, atol=1e-4)
    assert first.score == pytest.approx(1 / (1 + math.exp(-4)))


def test_nothing_above_the_threshold_is_no_face():
    priors = len(prior_boxes(64, 64))
    assert decode(torch.zeros(priors, 4), torch.zeros(priors, 2), torch.zeros(priors, 10), (64, 64)) == []


def test_a_batch_equals_single_frames():
    torch.manual_seed(0)
    network = TinyRetinaFace().eval()
    frames = frames_of(3, 90, 120)
    together = detect_faces(network, frames, 160, "cpu")
    for frame, faces in zip(frames, together, strict=True):
        (alone,) = detect_faces(network, [frame], 160, "cpu")
        assert len(alone) == len(faces) >= 1
        np.testing.assert_allclose(alone[0].box, faces[0].box, atol=1e-2)
        np.testing.assert_allclose(alone[0].points, faces[0].points, atol=1e-2)


def test_tiny_finds_a_face_in_any_picture_and_embeds_it(tiny):
    frames = frames_of(2, 100, 150, seed=3)
    found = tiny.detect(frames)
    assert all(faces for faces in found)
    face = found[0][0]
    assert face.points.shape == (5, 2) and face.box.dtype == np.float32 and 0.7 < face.score <= 1
    chips = np.stack([tiny.chip(frames[0], face)])
    assert tiny.embed(chips).shape == (1, 128)
    assert tiny.provenance.random_weights and tiny.provenance.backend == "retinaface"
    assert tiny.embedding_provenance.random_weights and tiny.embedding_provenance.backend == "retinaface+dlib"


def test_a_checkpoint_loads_and_a_missing_one_is_named(tmp_path, monkeypatch):
    torch.manual_seed(1)
    network = large_retinaface()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    backend = RetinaFaceBackend(weights=tmp_path / "mine.pth")
    assert torch.equal(backend.network.fpn.merge1[0].weight, network.fpn.merge1[0].weight)
    assert "mine.pth" in backend.provenance.weights and not backend.provenance.random_weights
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match="retinaface-resnet50"):
        RetinaFaceBackend()


def large_network() -> RetinaFace:
    """The published architecture with random weights; its batch statistics are such that signals keep their size."""
    torch.manual_seed(2)
    network = large_retinaface().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.5)
    return network


def test_the_fast_layout_moves_outputs_by_rounding_alone():
    network = large_network()
    frames = torch.from_numpy(np.stack(frames_of(1, 96, 160, seed=4))).permute(0, 3, 1, 2)
    fast = in_layout(frames)
    assert fast.is_contiguous(memory_format=torch.channels_last) and not fast.is_contiguous()
    with torch.inference_mode():
        for ours, exact in zip(network(normalise(fast)), network(normalise(frames.contiguous())), strict=True):
            assert (ours - exact).abs().max() <= 2e-5 * exact.abs().max()


def test_nothing_is_found_in_no_frames(tiny):
    assert tiny.detect([]) == []


def test_the_device_reaches_the_network_and_the_provenance():
    backend = make_backend("retinaface", tiny=True, device="cpu:0")
    assert backend.provenance.versions["device"] == "cpu:0"
    assert backend.device == torch.device("cpu:0")
    assert backend.frames_at_once(480, 720) == 1, "on the processor results may not depend on batching"
    assert isinstance(backend, BatchedBackend)
    assert len(backend.detect(frames_of(2, 60, 80))) == 2


@pytest.mark.parametrize("device", ["cuda:99", "somewhere"])
def test_a_device_that_is_not_there_is_an_error_with_its_name(device):
    with pytest.raises(MMBenchError, match=device) as caught:
        make_backend("retinaface", tiny=True, device=device)
    assert "Set device to cpu" in caught.value.remedy


@pytest.mark.parametrize(("height", "width"), [(480, 720), (720, 720), (2160, 3840), (1, 4000), (64, 64)])
@pytest.mark.parametrize("max_side", [160, 960, 4000])
def test_frames_on_a_gpu_stay_within_its_budget(height, width, max_side):
    count = frames_in_budget(height, width, max_side)
    factor = max_side / max(height, width)
    assert 1 <= count <= GPU_BATCH
    assert count == 1 or count * height * factor * width * factor * GPU_BYTES_PER_PIXEL <= 1.1 * GPU_BUDGET
    assert frames_in_budget(height, width, 16 * max_side) <= count


@pytest.fixture
def cuda() -> str:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return "cuda"


@pytest.mark.gpu
def test_a_gpu_gives_the_processors_outputs_within_its_budget(cuda):
    """Raw outputs of the large network, 480x720 frames scaled to 960 px; the peak is of a full batch."""
    network = large_network()
    height, width, side = 480, 720, 960
    frames = frames_of(frames_in_budget(height, width, side), height, width, seed=5)
    expected = raw_outputs(network, frames[:1], "cpu")
    network.to(cuda)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    detect_faces(network, frames, side, cuda)
    assert torch.cuda.max_memory_allocated() - before <= GPU_BUDGET
    for ours, theirs in zip(raw_outputs(network, frames[:1], cuda), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def raw_outputs(network, frames, device: str) -> list[np.ndarray]:
    seen: list[np.ndarray] = []
    hook = network.register_forward_hook(lambda _, __, outputs: seen.extend(part.cpu().numpy() for part in outputs))
    detect_faces(network, frames, 960, device)
    hook.remove()
    return seen


@pytest.mark.gpu
def test_faces_found_on_a_gpu_are_the_processors(cuda, tiny):
    frames = frames_of(20, 100, 150, seed=6)
    on_gpu = make_backend("retinaface", tiny=True, device=cuda)
    assert on_gpu.provenance.versions["device"] == "cuda" and on_gpu.frames_at_once(100, 150) > 1
    for ours, theirs in zip(on_gpu.detect(frames), tiny.detect(frames), strict=True):
        assert ours[0].score == pytest.approx(theirs[0].score, abs=1e-3)
        np.testing.assert_allclose(ours[0].box, theirs[0].box, atol=1e-2)
        np.testing.assert_allclose(ours[0].points, theirs[0].points, atol=1e-2)
