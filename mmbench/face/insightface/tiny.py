"""Small random ONNX networks with the inputs and outputs of det_10g and w600k_r50, for tests without weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmbench.face.cut import SIDE, TEMPLATE
from mmbench.face.insightface.arcface import EMBEDDING_SIZE
from mmbench.face.insightface.scrfd import ANCHORS, INPUT_SIDE, STRIDES
from mmbench.face.insightface.session import import_onnx

OPSET = 17
SEED = 0
SPREAD = 200.0
"""How steeply scores fall off from the best cell: a picture always has a face, and not hundreds."""


def tiny_scrfd() -> bytes:
    """A detector whose best cell always scores 0.95, of squares up to `INPUT_SIDE` px, as the whole network takes any.

    Faces are 12 strides wide with points as in the template.
    """
    onnx, make = _onnx()
    rng = np.random.default_rng(SEED)
    nodes, constants, outputs = [], [], []
    shape = (TEMPLATE / SIDE - 0.5).ravel() * 12
    kinds: dict[str, tuple[int, Any]] = {"score": (1, 0.0), "box": (4, 6.0), "points": (10, shape)}
    for kind, (values, bias) in kinds.items():
        for stride in STRIDES:
            name = f"{kind}{stride}"
            weight = rng.normal(0, 0.3 / stride, (ANCHORS * values, 3, stride, stride)).astype(np.float32)
            offset = np.tile(np.broadcast_to(bias, values), ANCHORS).astype(np.float32)
            constants += [_constant(onnx, f"{name}.w", weight), _constant(onnx, f"{name}.b", offset)]
            constants.append(_constant(onnx, f"{name}.shape", np.array([-1, values], np.int64)))
            nodes += [
                make.make_node("Conv", ["input", f"{name}.w", f"{name}.b"], [f"{name}.c"], strides=[stride] * 2),
                make.make_node("Transpose", [f"{name}.c"], [f"{name}.t"], perm=[0, 2, 3, 1]),
                make.make_node("Reshape", [f"{name}.t", f"{name}.shape"], [f"{name}.r"]),
            ]
            if kind == "score":
                ties = rng.normal(0, 0.3, (ANCHORS * (INPUT_SIDE // stride) ** 2, 1)).astype(np.float32)
                constants.append(_constant(onnx, f"{name}.ties", ties))
                nodes += _score_nodes(make, name)
            else:
                nodes.append(make.make_node("Identity", [f"{name}.r"], [name]))
            outputs.append(make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, values]))
    constants += [
        _constant(onnx, "first", np.array([0], np.int64)),
        _constant(onnx, "spread", np.array(SPREAD, np.float32)),
        _constant(onnx, "best", np.array(3.0, np.float32)),
    ]
    picture = make.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, "height", "width"])
    return _model(onnx, make, nodes, [picture], outputs, constants)


def tiny_arcface() -> bytes:
    """A recogniser of one convolution and one matrix: N x 3 x 112 x 112 to N x 512."""
    onnx, make = _onnx()
    rng = np.random.default_rng(SEED + 1)
    constants = [
        _constant(onnx, "conv", rng.normal(0, 0.05, (8, 3, 16, 16)).astype(np.float32)),
        _constant(onnx, "matrix", rng.normal(0, 0.05, (8 * 49, EMBEDDING_SIZE)).astype(np.float32)),
    ]
    nodes = [
        make.make_node("Conv", ["input", "conv"], ["maps"], strides=[16, 16]),
        make.make_node("Relu", ["maps"], ["positive"]),
        make.make_node("Flatten", ["positive"], ["flat"]),
        make.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    float32 = onnx.TensorProto.FLOAT
    chips = make.make_tensor_value_info("input", float32, [None, 3, SIDE, SIDE])
    embedding = make.make_tensor_value_info("embedding", float32, [None, EMBEDDING_SIZE])
    return _model(onnx, make, nodes, [chips], [embedding], constants)


def _score_nodes(make: Any, name: str) -> list[Any]:
    """Sigmoid of spread * (x - max x) + best, x with a fixed random part so that flat pictures have no ties.

    A smaller square takes the first of the random parts.
    """
    return [
        make.make_node("Shape", [f"{name}.r"], [f"{name}.cells"], start=0, end=1),
        make.make_node("Slice", [f"{name}.ties", "first", f"{name}.cells", "first"], [f"{name}.some"]),
        make.make_node("Add", [f"{name}.r", f"{name}.some"], [f"{name}.x"]),
        make.make_node("ReduceMax", [f"{name}.x"], [f"{name}.max"], keepdims=1),
        make.make_node("Sub", [f"{name}.x", f"{name}.max"], [f"{name}.below"]),
        make.make_node("Mul", [f"{name}.below", "spread"], [f"{name}.steep"]),
        make.make_node("Add", [f"{name}.steep", "best"], [f"{name}.logit"]),
        make.make_node("Sigmoid", [f"{name}.logit"], [name]),
    ]


def _constant(onnx: Any, name: str, value: Any) -> Any:
    return onnx.numpy_helper.from_array(value, name)


def _model(onnx: Any, make: Any, nodes: Any, inputs: Any, outputs: Any, constants: Any) -> bytes:
    graph = make.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def _onnx() -> tuple[Any, Any]:
    onnx = import_onnx()
    return onnx, onnx.helper
