"""Fitting pictures, CLIP's input, SCRFD's decoding, alignment: pure functions against independent readings."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.baselines.consisid.faces import on_white, shrink
from mmbench.baselines.dynamicrafter.model import blur_axis, clip_view
from mmbench.baselines.faces import (
    ARCFACE_POINTS,
    StandInFaces,
    aligned,
    first_face_of_each,
    similarity_transform,
    surest,
)
from mmbench.baselines.id_animator.model import average_references, crop_face
from mmbench.baselines.insightface import ANCHORS, STRIDES, OnnxFaces, decode, letterbox, plain_input, suppress
from mmbench.baselines.photomaker_v2.model import BUCKETS, PhotoMakerV2, merge_step
from mmbench.baselines.pictures import clip_pixels, cover
from mmbench.errors import ReferenceFaceError


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8))


@pytest.mark.parametrize("source", [(720, 480), (1216, 832), (300, 900), (999, 333), (721, 479)])
def test_cover_fills_the_frame_without_stretching(source: tuple[int, int]) -> None:
    found = cover(gradient(*source), (480, 720))
    assert found.size == (720, 480)
    red = np.asarray(found)[240, :, 0].astype(float)
    scale = max(720 / source[0], 480 / source[1])
    shown = 720 / (source[0] * scale)
    assert red[-5] - red[5] == pytest.approx(255 * shown, abs=8)


def test_a_picture_that_fits_is_not_resampled() -> None:
    picture = gradient(720, 480)
    assert cover(picture, (480, 720)) is picture


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (100, 300), (223, 225)])
def test_clip_pixels_are_those_of_the_published_processor(size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)()
    picture = gradient(*size)
    expected = processor([picture], return_tensors="pt").pixel_values
    assert torch.allclose(clip_pixels([picture]), expected, atol=1e-5)


def test_dynamicrafters_view_keeps_corners_and_constants() -> None:
    flat = clip_view(torch.full((1, 3, 60, 90), 0.25), 28)
    assert flat.std(dim=(2, 3)).max() < 1e-5
    small = torch.rand((1, 3, 20, 24), generator=torch.Generator().manual_seed(0)) * 2 - 1
    corner = ((small[..., 0, 0] + 1) / 2 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor(
        [0.26862954, 0.26130258, 0.27577711]
    )
    assert torch.allclose(clip_view(small, 28)[..., 0, 0], corner, atol=1e-5)


def test_the_blur_is_a_normalised_gaussian() -> None:
    spike = torch.zeros((1, 1, 1, 21))
    spike[..., 10] = 1
    found = blur_axis(spike, -1, 1.5)[0, 0, 0]
    weights = torch.tensor([math.exp(-(d**2) / (2 * 1.5**2)) for d in range(-3, 4)])
    assert torch.allclose(found[7:14], weights / weights.sum(), atol=1e-6)
    assert found.sum() == pytest.approx(1)


def test_first_frames_are_made_at_the_training_size_nearest_in_shape() -> None:
    maker = PhotoMakerV2()
    maker.variant = "realvisxl4"
    assert maker.bucket((480, 720)) == (832, 1216)
    assert maker.bucket((576, 1024)) == (768, 1344)
    assert maker.bucket((320, 512)) == (768, 1280)
    assert maker.bucket((512, 512)) == (1024, 1024)
    assert all(height % 64 == 0 and width % 64 == 0 for height, width in BUCKETS)


def test_the_identity_enters_after_a_fifth_of_the_steps() -> None:
    assert [merge_step(steps) for steps in (50, 25, 4, 200)] == [10, 5, 0, 30]


def test_a_similarity_transform_is_found_again() -> None:
    angle, scale, shift = 0.4, 1.7, np.array([5.0, -3.0])
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    target = (ARCFACE_POINTS @ turn.T + shift).astype(np.float32)
    found = similarity_transform(ARCFACE_POINTS, target)
    assert np.allclose(found, np.hstack([turn, shift[:, None]]), atol=1e-4)


def test_alignment_puts_the_points_on_the_template() -> None:
    picture = np.zeros((200, 240, 3), np.uint8)
    points = ARCFACE_POINTS * np.float32(1.4) + np.array([30, 20], np.float32)
    for index, (x, y) in enumerate(points.round().astype(int)):
        picture[y - 3 : y + 4, x - 3 : x + 4, index % 3] = 255
    crop = aligned(picture, points, ARCFACE_POINTS, 112)
    for index, (x, y) in enumerate(ARCFACE_POINTS.round().astype(int)):
        assert crop[y, x, index % 3] > 200
    assert crop_face(Image.fromarray(picture), points).size == (224, 224)


def test_scrfd_outputs_decode_to_the_faces_they_were_written_from() -> None:
    side = 64
    faces = [(8, 20, 12, 0.9), (16, 40, 44, 0.7)]
    outputs: list[list[np.ndarray]] = [[], [], []]
    for stride in STRIDES:
        cells = side // stride
        score = np.zeros((cells * cells * ANCHORS, 1), np.float32)
        box = np.zeros((len(score), 4), np.float32)
        points = np.zeros((len(score), 10), np.float32)
        for own, x, y, value in faces:
            if own == stride:
                cell = (y // stride) * cells + x // stride
                centre = np.array([x // stride, y // stride]) * stride
                row = cell * ANCHORS + 1
                score[row] = value
                box[row] = np.array([x - 5, y - 6, x + 5, y + 6]) - np.tile(centre, 2)
                box[row] = box[row] * np.array([-1, -1, 1, 1]) / stride
                points[row] = ((np.array([[x, y]] * 5) + np.arange(5)[:, None] - centre) / stride).ravel()
        for kind, array in enumerate((score, box, points)):
            outputs[kind].append(array)
    boxes, points, scores = decode([array for kind in outputs for array in kind], side)
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert np.allclose(boxes[0], [15, 6, 25, 18])
    assert np.allclose(boxes[1], [35, 38, 45, 50])
    assert np.allclose(points[1], np.array([[40, 44]] * 5) + np.arange(5)[:, None])


def test_overlapping_boxes_leave_the_surest() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 10, 3]], np.float32)
    assert suppress(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32)) == [0, 2, 3]
    assert suppress(boxes[:0], np.zeros(0, np.float32)) == []


@pytest.mark.parametrize("size", [(100, 50), (50, 100), (64, 64)])
def test_the_letterbox_keeps_the_shape(size: tuple[int, int]) -> None:
    width, height = size
    canvas, scale = letterbox(np.full((height, width, 3), 200, np.uint8), 64)
    assert canvas.shape == (64, 64, 3)
    rows, columns = (canvas[..., 0] > 0).sum(0).max(), (canvas[..., 0] > 0).sum(1).max()
    assert (rows, columns) == (round(height * scale), round(width * scale))


def write_networks(folder: Path, plain: bool) -> tuple[Path, Path]:
    """ONNX files: a detector that always sees one face in the middle, a recogniser that averages its input."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    side = 64
    nodes, outputs = [], []
    for kind, width in enumerate((1, 4, 10)):
        for stride in STRIDES:
            rows = (side // stride) ** 2 * ANCHORS
            value = np.zeros((rows, width), np.float32)
            if stride == 16:
                row = (2 * (side // stride) + 2) * ANCHORS
                value[row] = {0: 0.9, 1: 1.0, 2: 0.0}[kind]
                if kind == 2:
                    value[row] = ((ARCFACE_POINTS - 56) / 112 * 24 / 16).ravel()
            name = f"out{kind}_{stride}"
            nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width]))
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
    graph = helper.make_graph(nodes, "detector", [source], outputs)
    detector, recogniser = folder / "det.onnx", folder / "rec.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), detector)
    nodes = []
    value = "data"
    if plain:
        for name, kind, number in (("Sub", "Sub", 127.5), ("Mul", "Mul", 1 / 127.5)):
            constant = numpy_helper.from_array(np.array(number, np.float32))
            nodes.append(helper.make_node("Constant", [], [f"{name}_value"], value=constant))
            nodes.append(helper.make_node(kind, [value, f"{name}_value"], [f"{name}_out"], name=name))
            value = f"{name}_out"
    nodes.append(helper.make_node("AveragePool", [value], ["pooled"], kernel_shape=[56, 56], strides=[56, 56]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["embedding"]))
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 12])],
    )
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), recogniser)
    return detector, recogniser


def test_onnx_networks_find_and_embed_a_face(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from mmbench.baselines.insightface import open_session

    vectors = []
    for plain in (False, True):
        folder = tmp_path / str(plain)
        folder.mkdir()
        detector, recogniser = write_networks(folder, plain)
        assert plain_input(recogniser) == plain
        analyser = OnnxFaces(open_session(detector, "cpu"), open_session(recogniser, "cpu"), plain)
        (face,) = analyser.find(gradient(128, 96), 64)
        assert np.allclose(face.box, [32, 32, 96, 96])
        assert face.embedding.shape == (12,)
        vectors.append(face.embedding)
    # A recogniser that normalises inside and one that is given normalised values agree.
    assert np.allclose(vectors[0], vectors[1], atol=1e-4)


def test_references_without_a_face_are_left_out() -> None:
    class Shy:
        """Sees a face only in wide pictures, and only at a small detector size."""

        def find(self, picture: Image.Image, detector_size: int) -> list:
            wide = picture.width > picture.height and detector_size < 500
            return StandInFaces().find(picture, detector_size) if wide else []

    pictures = [gradient(64, 96), gradient(96, 64)]
    (found,) = first_face_of_each(Shy(), pictures, (640, 320), surest)
    assert found[0] is pictures[1]
    with pytest.raises(ReferenceFaceError, match="None of the 1"):
        first_face_of_each(Shy(), pictures[:1], (640, 320), surest)
    with pytest.raises(ReferenceFaceError):
        first_face_of_each(Shy(), pictures, (640,), surest)


def test_face_tokens_of_several_references_are_averaged() -> None:
    tokens = torch.rand((2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    (found,) = average_references(None, None, [tokens])
    assert torch.allclose(found, ((tokens[:, 0] + tokens[:, 1] + tokens[:, 2]) / 3)[:, None])


def test_consisids_background_is_white_in_colour_and_grey() -> None:
    face = torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    background = torch.zeros((1, 1, 4, 4), dtype=torch.bool)
    background[..., :2] = True
    colour, grey = on_white(face, background)
    assert (colour[..., :2] == 1).all() and (grey[..., :2] == 1).all()
    assert torch.equal(colour[..., 2:], face[..., 2:])
    pixel = face[0, :, 3, 3]
    assert torch.allclose(grey[0, :, 3, 3], (0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]).expand(3))
    assert shrink(np.zeros((2048, 100, 3), np.uint8)).shape == (1024, 50, 3)
    assert shrink(np.zeros((20, 100, 3), np.uint8)).shape == (20, 100, 3)
