"""Packs: two files below a folder become one analyser, on the device asked for or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmbench.errors import MissingDependency, MissingWeights, MMBenchError
from mmbench.face import packs
from mmbench.face.cut import TEMPLATE
from mmbench.face.insightface.scrfd import ANCHORS, STRIDES
from mmbench.face.insightface.tiny import tiny_arcface, tiny_scrfd
from mmbench.face.make import make_backend
from mmbench.face.packs import ANTELOPE_V2, BUFFALO_L, normalises_itself, open_analyser

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper


def gradient(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)


def write_networks(folder: Path, plain: bool) -> tuple[Path, Path]:
    """ONNX files: a detector that always sees one face in the middle, a recogniser that averages its input."""
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
                    value[row] = ((TEMPLATE - 56) / 112 * 24 / 16).ravel()
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
    nodes.append(helper.make_node("Flatten", ["pooled"], ["means"]))
    widen = numpy_helper.from_array(np.eye(12, 512, dtype=np.float32))
    nodes.append(helper.make_node("Constant", [], ["widen"], value=widen))
    nodes.append(helper.make_node("MatMul", ["means", "widen"], ["embedding"]))
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 512])],
    )
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), recogniser)
    return detector, recogniser


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """Files by registry name, in place of the checked ones of a weights folder."""
    found: dict[str, Path] = {}
    monkeypatch.setattr(packs, "file_of", lambda name, folder: found[name])
    return found


@pytest.mark.parametrize("pack", [BUFFALO_L, ANTELOPE_V2])
def test_networks_of_files_find_and_embed_a_face(files: dict[str, Path], tmp_path: Path, pack: packs.Pack) -> None:
    vectors = []
    picture = gradient(128, 96)
    for plain in (False, True):
        folder = tmp_path / str(plain)
        folder.mkdir()
        files.update(zip(pack.names, write_networks(folder, plain), strict=True))
        assert normalises_itself(files[pack.recogniser]) == plain
        analyser = open_analyser(pack, tmp_path, "cpu")
        (face,) = analyser.find(picture, 64)
        np.testing.assert_allclose(face.box, [32, 32, 96, 96])
        vectors.append(analyser.embed(picture, face))
        assert vectors[-1].shape == (512,) and vectors[-1].dtype == np.float32
    # a recogniser that normalises inside and one that is given normalised values agree
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-4)


def test_a_pack_and_the_evaluations_backend_agree(files: dict[str, Path], tmp_path: Path) -> None:
    """The same networks by both doors: same faces, same vectors."""
    for name, network in zip(BUFFALO_L.names, (tiny_scrfd(), tiny_arcface()), strict=True):
        files[name] = tmp_path / f"{name}.onnx"
        files[name].write_bytes(network)
    analyser, backend = open_analyser(BUFFALO_L, tmp_path, "cpu"), make_backend("insightface", tiny=True)
    picture = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    ours, theirs = analyser.find(picture), backend.detect([picture])[0]
    assert len(ours) == len(theirs) >= 1
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.box, other.box, atol=1e-3)
        expected = backend.embed(backend.chip(picture, other)[None])[0]
        np.testing.assert_allclose(analyser.embed(picture, mine), expected, atol=1e-4 * np.abs(expected).max())


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="det_10g"):
        open_analyser(BUFFALO_L, tmp_path, "cpu")


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this onnxruntime has the CUDA provider"
)
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_absent_is_an_error_not_the_processor(tmp_path: Path, device: str) -> None:
    with pytest.raises(MissingDependency, match=f"{device}.*has no CUDAExecutionProvider"):
        open_analyser(BUFFALO_L, tmp_path, device)


def test_a_device_onnxruntime_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MMBenchError, match="mps"):
        open_analyser(BUFFALO_L, tmp_path, "mps")
