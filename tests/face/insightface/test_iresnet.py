"""The torch IResNet against onnxruntime on random weights, in both forms that exporters write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmbench.errors import MissingWeights, WeightsError
from mmbench.face.insightface.iresnet import IResNet, IResNetShape, iresnet_shape, load_iresnet

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


class Writer:
    """Writes an IResNet as an ONNX graph: with the BNs behind convolutions folded, or standing apart."""

    def __init__(self, folded: bool) -> None:
        self.folded, self.nodes, self.constants = folded, [], []
        self.draw = np.random.default_rng(0)

    def constant(self, array: np.ndarray) -> str:
        name = f"{900 + 7 * len(self.constants)}"  # names that say nothing, as exporters give
        self.constants.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        out = f"out{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [out], **attributes))
        return out

    def norm(self, x: str, width: int) -> str:
        r = self.draw
        parts = (r.uniform(0.5, 1.5, width), r.normal(0, 0.2, width), r.normal(0, 0.2, width), r.uniform(0.5, 2, width))
        return self.node("BatchNormalization", [x, *map(self.constant, parts)], epsilon=1e-5)

    def conv(self, x: str, inputs: int, outputs: int, side: int, stride: int) -> str:
        kernel = self.draw.normal(0, 1 / np.sqrt(inputs * side * side), (outputs, inputs, side, side))
        weights = [self.constant(kernel)]
        if self.folded:
            weights.append(self.constant(self.draw.normal(0, 0.1, outputs)))
        pads = [side // 2] * 4
        out = self.node("Conv", [x, *weights], kernel_shape=[side, side], strides=[stride, stride], pads=pads)
        return out if self.folded else self.norm(out, outputs)

    def prelu(self, x: str, width: int) -> str:
        return self.node("PRelu", [x, self.constant(self.draw.uniform(0.1, 0.4, (width, 1, 1)))])

    def network(self, shape: IResNetShape) -> Any:
        x = self.prelu(self.conv("input.1", 3, shape.stem, 3, 1), shape.stem)
        for block in shape.blocks:
            main = self.conv(self.norm(x, block.inputs), block.inputs, block.middle, 3, 1)
            main = self.conv(self.prelu(main, block.middle), block.middle, block.outputs, 3, block.stride)
            kept = self.conv(x, block.inputs, block.outputs, 1, block.stride) if block.projects else x
            x = self.node("Add", [main, kept])
        last = shape.blocks[-1].outputs
        x = self.node("Flatten", [self.norm(x, last)])
        matrix = self.constant(self.draw.normal(0, 0.1, (shape.outputs, last * shape.cells)))
        x = self.node("Gemm", [x, matrix, self.constant(self.draw.normal(0, 0.1, shape.outputs))], transB=1)
        out = self.norm(x, shape.outputs)
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self.nodes,
            "iresnet",
            [value("input.1", onnx.TensorProto.FLOAT, [None, 3, 112, 112])],
            [value(out, onnx.TensorProto.FLOAT, [None, shape.outputs])],
            self.constants,
        )
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("folded", [True, False])
def test_vectors_are_onnxruntime_s(tmp_path: Path, folded: bool) -> None:
    shape = iresnet_shape((1, 2, 1, 1), (8, 8, 16, 16), 24)
    model = Writer(folded).network(shape)
    path = tmp_path / "r.onnx"
    onnx.save(model, path)
    network = load_iresnet(path)
    assert network.shape == shape
    cuts = np.random.default_rng(1).uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
    want = ort.InferenceSession(path.read_bytes()).run(None, {"input.1": cuts})[0]
    got = network(torch.from_numpy(cuts)).numpy()
    # two libraries sum float32 convolutions in another order
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * float(np.abs(want).max()))


def test_it_is_frozen_and_passes_gradients_on() -> None:
    network = IResNet(iresnet_shape((1, 1, 1, 1), (4, 4, 8, 8), 16)).train()
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cuts = torch.rand(2, 3, 112, 112, requires_grad=True)
    network(cuts).sum().backward()
    assert cuts.grad is not None and cuts.grad.abs().sum() > 0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_published_depths_have_the_published_sizes() -> None:
    """43.6 M parameters for R50, 65.2 M for R100, BNs behind convolutions folded into biases."""
    for depths, millions in (((3, 4, 14, 3), 43.6), ((3, 13, 30, 3), 65.1)):
        with torch.device("meta"):
            network = IResNet(iresnet_shape(depths))
        assert abs(sum(p.numel() for p in network.parameters()) / 1e6 - millions) < 0.1


def test_other_networks_are_refused(tmp_path: Path) -> None:
    from mmbench.face.insightface.tiny import tiny_arcface

    other = tmp_path / "other.onnx"
    other.write_bytes(tiny_arcface())
    with pytest.raises(WeightsError, match="no residual blocks"):
        load_iresnet(other)
    other.write_bytes(b"\x00\x01 not an onnx file")
    with pytest.raises(WeightsError, match=r"other\.onnx"):
        load_iresnet(other)
    with pytest.raises(MissingWeights):
        load_iresnet(tmp_path / "absent.onnx")


def test_a_network_with_a_layer_more_is_refused(tmp_path: Path) -> None:
    writer = Writer(True)
    model = writer.network(iresnet_shape((1, 1, 1, 1), (4, 4, 8, 8), 16))
    last = model.graph.output[0].name
    model.graph.node.append(onnx.helper.make_node("PRelu", [last, model.graph.initializer[0].name], ["more"]))
    path = tmp_path / "more.onnx"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="left over"):
        load_iresnet(path)


def test_another_epsilon_is_refused(tmp_path: Path) -> None:
    model = Writer(True).network(iresnet_shape((1, 1, 1, 1), (4, 4, 8, 8), 16))
    next(node for node in model.graph.node if node.op_type == "BatchNormalization").attribute[0].f = 1e-3
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="epsilon"):
        load_iresnet(path)
