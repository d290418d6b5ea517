"""RetinaFace against retinaface-pytorch 0.0.7, SCRFD and ArcFace against insightface, random networks in both."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch

from mmbench.face.retinaface.detect import decode, normalise, prior_boxes
from mmbench.face.retinaface.net import large_retinaface


def needs(package: str):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs the package {package}")


pytestmark = pytest.mark.parity


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    fine = np.kron(coarse, np.ones((math.ceil(height / 9), math.ceil(width / 12), 1)))[:height, :width]
    return np.clip(fine + rng.normal(0, 10, fine.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def networks():
    """retinaface-pytorch's network and ours with one random state dict; a share of the priors score above 0.7."""
    from retinaface.predict_single import Model

    torch.manual_seed(0)
    theirs = Model(max_size=320)
    theirs.eval()
    network = theirs.model
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.8, 1.5)
        x = normalise(torch.from_numpy(picture(320, 320)).permute(2, 0, 1)[None])
        for head, spread in ((network.ClassHead, 2.0), (network.BboxHead, 0.5), (network.LandmarkHead, 1.0)):
            outputs = {id(network.ClassHead): 1, id(network.BboxHead): 0, id(network.LandmarkHead): 2}
            scale = spread / network(x)[outputs[id(head)]].std()
            for level in head:
                level.conv1x1.weight.mul_(scale)
                level.conv1x1.bias.zero_()
        difference = network(x)[1][0].diff(dim=-1)
        shift = torch.quantile(difference, 0.97) - math.log(0.7 / 0.3)
        for level in network.ClassHead:
            level.conv1x1.bias[0::2] += shift
    ours = large_retinaface().eval()
    ours.load_state_dict(network.state_dict(), strict=True)
    return theirs, ours


@needs("retinaface")
def test_retinaface_network_is_equal(networks, note):
    theirs, ours = networks
    x = normalise(torch.from_numpy(np.stack([picture(192, 320, seed) for seed in (1, 2)])).permute(0, 3, 1, 2))
    with torch.inference_mode():
        pairs = list(zip(theirs.model(x), ours(x), strict=True))
        single = ours(x[:1])
    worst = max((a - b).abs().max().item() for a, b in pairs)
    batch = max((a[:1] - b).abs().max().item() for (_, a), b in zip(pairs, single, strict=True))
    note(f"RetinaFace outputs 192x320: difference {worst}, batch against single {batch:.1e}")
    assert worst == 0.0
    assert batch <= 1e-4


@needs("retinaface")
@pytest.mark.parametrize("size", [(320, 320), (480, 720), (100, 150)])
def test_priors_are_equal(size):
    from retinaface.prior_box import priorbox

    theirs = priorbox([[16, 32], [64, 128], [256, 512]], [8, 16, 32], clip=False, image_size=size)
    torch.testing.assert_close(prior_boxes(*size), theirs, rtol=0, atol=1e-6)


@needs("retinaface")
def test_decoding_equals_the_originals_before_its_truncation(networks, note):
    from retinaface.box_utils import decode as decode_boxes
    from retinaface.box_utils import decode_landm

    _, ours = networks
    x = normalise(torch.from_numpy(picture(320, 320, 3)).permute(2, 0, 1)[None])
    with torch.inference_mode():
        boxes, logits, landmarks = ours(x)
    faces = decode(boxes[0], logits[0], landmarks[0], (320, 320))
    priors = prior_boxes(320, 320)
    their_boxes = decode_boxes(boxes[0], priors, [0.1, 0.2]) * 320
    their_points = decode_landm(landmarks[0], priors, [0.1, 0.2]) * 320
    scores = torch.softmax(logits[0], -1)[:, 1]
    by_score = {round(float(score), 7): row for row, score in enumerate(scores)}
    rows = [by_score[round(face.score, 7)] for face in faces]
    worst = max(np.abs(face.box - their_boxes[row].numpy()).max() for face, row in zip(faces, rows, strict=True))
    points = max(
        np.abs(face.points.ravel() - their_points[row].numpy()).max() for face, row in zip(faces, rows, strict=True)
    )
    note(f"RetinaFace decoding of {len(faces)} faces: boxes differ by {worst:.1e} px, points by {points:.1e} px")
    assert len(faces) >= 5
    assert worst <= 1e-3 and points <= 1e-3


@needs("retinaface")
def test_predictions_equal_the_packages_up_to_its_truncation(networks, note):
    theirs, ours = networks
    frame = picture(320, 320, 4)
    expected = [face for face in theirs.predict_jsons(frame) if face["score"] > 0]
    x = normalise(torch.from_numpy(frame).permute(2, 0, 1)[None].contiguous())
    with torch.inference_mode():
        boxes, logits, landmarks = ours(x)
    faces = decode(boxes[0], logits[0], landmarks[0], (320, 320))
    gaps = []
    for face in expected:
        mine = min(faces, key=lambda candidate: abs(candidate.score - face["score"]))
        assert mine.score == pytest.approx(face["score"], abs=1e-3)
        gaps.append(mine.points - np.array(face["landmarks"]))
    gap = np.concatenate(gaps)
    note(
        f"RetinaFace predict_jsons: {len(expected)} faces, its landmarks lie {gap.mean():.2f} px "
        f"(largest {np.abs(gap).max():.2f}) below the unrounded ones"
    )
    assert len(expected) >= 3
    assert np.abs(gap).max() < 1.01


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from mmbench.face.insightface.tiny import tiny_arcface, tiny_scrfd

    folder = tmp_path_factory.mktemp("onnx")
    (folder / "det.onnx").write_bytes(tiny_scrfd())
    (folder / "rec.onnx").write_bytes(tiny_arcface())
    return folder


@needs("insightface")
@pytest.mark.parametrize("size", [(480, 720), (256, 256), (333, 190)])
def test_scrfd_equals_insightface(models, size, note):
    from insightface.model_zoo.scrfd import SCRFD

    from mmbench.face.insightface.eyes import InsightFaceBackend

    theirs = SCRFD(str(models / "det.onnx"))
    theirs.prepare(-1, input_size=(640, 640), det_thresh=0.5)
    frame = picture(*size, 5)
    boxes, points = theirs.detect(np.ascontiguousarray(frame[..., ::-1]), input_size=(640, 640))
    (faces,) = InsightFaceBackend(tiny=True).detect([frame])
    assert len(faces) == len(boxes) >= 1
    worst = max(np.abs(face.box - box[:4]).max() for face, box in zip(faces, boxes, strict=True))
    apart = max(np.abs(face.points - point).max() for face, point in zip(faces, points, strict=True))
    note(f"SCRFD {size[0]}x{size[1]}: {len(faces)} faces, boxes differ by {worst:.1e} px, points by {apart:.1e} px")
    assert worst <= 1e-3 and apart <= 1e-3


@needs("insightface")
def test_arcface_alignment_and_embedding_equal_insightface(models, note):
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX
    from insightface.utils.face_align import estimate_norm, norm_crop

    from mmbench.face.cut import TEMPLATE, aligned, similarity
    from mmbench.face.insightface.eyes import InsightFaceBackend

    theirs, backend = ArcFaceONNX(str(models / "rec.onnx")), InsightFaceBackend(tiny=True)
    frame = picture(300, 400, 6)
    rng = np.random.default_rng(7)
    chips, their_rows, matrices, pixels = [], [], 0.0, 0
    for _ in range(20):
        turn, scale = rng.uniform(-0.6, 0.6), rng.uniform(0.5, 2.5)
        spin = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        points = (TEMPLATE + rng.normal(0, 2, (5, 2))) @ spin.T + rng.uniform(0, 150, 2)
        points = points.astype(np.float32)
        mine = similarity(points, TEMPLATE.astype(np.float32))
        matrices = max(matrices, np.abs(mine - estimate_norm(points)).max())
        bgr = np.ascontiguousarray(frame[..., ::-1])
        chips.append(aligned(frame, points))
        crop = norm_crop(bgr, points)
        pixels = max(pixels, np.abs(chips[-1].astype(int) - crop[..., ::-1]).max())
        their_rows.append(theirs.get_feat(crop).ravel())
    rows = backend.embed(np.stack(chips))
    worst = np.abs(rows - np.stack(their_rows)).max()
    note(
        f"ArcFace: alignment matrices differ by {matrices:.1e}, cuts by {pixels} grey levels, "
        f"embeddings by {worst:.1e} of {np.abs(rows).max():.1f}"
    )
    assert matrices <= 1e-5 and pixels <= 1
    assert worst <= 1e-3
