"""ArcFace's IResNet in torch, with gradients: the recogniser of the identity loss, from the user's ONNX file.

The other recognisers of this room run in onnxruntime, which has no gradient. The weights are mapped by the order
of the ONNX graph's layers, not by their names, which exporters invent; depth and widths are read off it too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmbench.errors import MissingWeights, WeightsError, require_extra
from mmbench.face.cut import SIDE

EPSILON = 1e-5


@dataclass(frozen=True)
class BlockShape:
    """One residual block: its widths, its stride, and whether its shortcut is a 1x1 convolution."""

    inputs: int
    middle: int
    outputs: int
    stride: int
    projects: bool


@dataclass(frozen=True)
class IResNetShape:
    """A network: width of the stem, its blocks, cells (height x width) before the last layer, width of the vector."""

    stem: int
    blocks: tuple[BlockShape, ...]
    cells: int
    outputs: int


def iresnet_shape(
    depths: tuple[int, ...], widths: tuple[int, ...] = (64, 128, 256, 512), outputs: int = 512
) -> IResNetShape:
    """The usual shape: IResNet-50 is (3, 4, 14, 3), IResNet-100 (3, 13, 30, 3); every stage halves the picture."""
    blocks, before = [], widths[0]
    for depth, width in zip(depths, widths, strict=True):
        for index in range(depth):
            first = index == 0
            blocks.append(BlockShape(before, width, width, 2 if first else 1, first))
            before = width
    return IResNetShape(widths[0], tuple(blocks), (SIDE >> len(depths)) ** 2, outputs)


class _Block(nn.Module):
    """BN, 3x3 convolution, PReLU, 3x3 convolution, plus the shortcut; BNs after convolutions are in their weights."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(shape.inputs, eps=EPSILON)
        self.conv1 = nn.Conv2d(shape.inputs, shape.middle, 3, 1, 1)
        self.prelu = nn.PReLU(shape.middle)
        self.conv2 = nn.Conv2d(shape.middle, shape.outputs, 3, shape.stride, 1)
        self.shortcut = nn.Conv2d(shape.inputs, shape.outputs, 1, shape.stride) if shape.projects else None

    def forward(self, rows: Tensor) -> Tensor:
        kept: Tensor = rows if self.shortcut is None else self.shortcut(rows)
        added: Tensor = self.conv2(self.prelu(self.conv1(self.norm(rows)))) + kept
        return added


class IResNet(nn.Module):
    """RGB cuts [n, 3, 112, 112] in [-1, 1] to raw vectors [n, 512]; always frozen and in evaluation mode.

    Gradients flow to the input. `side` is the cut's.
    """

    side = SIDE

    def __init__(self, shape: IResNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = nn.Conv2d(3, shape.stem, 3, 1, 1)
        self.prelu = nn.PReLU(shape.stem)
        self.blocks = nn.Sequential(*(_Block(block) for block in shape.blocks))
        last = shape.blocks[-1].outputs
        self.norm = nn.BatchNorm2d(last, eps=EPSILON)
        self.linear = nn.Linear(last * shape.cells, shape.outputs)
        self.norm_out = nn.BatchNorm1d(shape.outputs, eps=EPSILON)
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> IResNet:
        """Nothing: running statistics must never move."""
        return self

    def forward(self, cuts: Tensor) -> Tensor:
        """Vectors [n, outputs], not normalised, in the weights' dtype."""
        rows = self.blocks(self.prelu(self.stem(cuts.to(self.stem.weight.dtype))))
        out: Tensor = self.norm_out(self.linear(self.norm(rows).flatten(1)))
        return out


def load_iresnet(path: Path) -> IResNet:
    """The network of an ArcFace ONNX file, for example `w600k_r50.onnx` of insightface's buffalo_l.

    Raises MissingWeights, MissingDependency (the package onnx), WeightsError for another kind of network.
    """
    require_extra("insightface", "onnx")
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise MissingWeights(f"{path}: the recogniser's ONNX file is not there.", "Give the path of w600k_r50.onnx.")
    try:
        return from_graph(onnx.load_model_from_string(path.read_bytes()).graph, str(path))
    except (DecodeError, KeyError, IndexError, ValueError, RuntimeError, AttributeError) as cause:
        raise WeightsError(
            f"{path}: not an ArcFace IResNet ({cause!r}).", "The identity loss needs insightface's w600k_r50.onnx."
        ) from cause


@dataclass
class _Layer:
    """One layer of the graph with its weights as float32 arrays; `folded` BNs are already in a convolution's."""

    kind: str
    weights: list[NDArray[np.float32]]
    stride: int = 1
    inputs: list[str] = field(default_factory=list)
    output: str = ""


def from_graph(graph: Any, where: str = "") -> IResNet:
    """The network of an ONNX graph; ValueError where a layer is not the expected one."""
    layers = _layers(graph)
    shape = _shape_of(layers, graph)
    network = IResNet(shape)
    queue = iter(layers)
    _put(network.stem, next(queue), "Conv")
    _put(network.prelu, next(queue), "PRelu")
    for block in network.blocks:
        assert isinstance(block, _Block)
        for module, kind in ((block.norm, "BatchNormalization"), (block.conv1, "Conv"), (block.prelu, "PRelu")):
            _put(module, next(queue), kind)
        rest = [next(queue) for _ in range(1 if block.shortcut is None else 2)]
        rest.sort(key=lambda layer: -layer.weights[0].shape[-1])  # 3x3 before 1x1, in whatever order they stand
        _put(block.conv2, rest[0], "Conv")
        if block.shortcut is not None:
            _put(block.shortcut, rest[1], "Conv")
        if (add := next(queue)).kind != "Add":
            raise ValueError(f"a residual block ends in {add.kind}")
    _put(network.norm, next(queue), "BatchNormalization")
    _put(network.linear, next(queue), "Gemm")
    _put(network.norm_out, next(queue), "BatchNormalization")
    if (left := next(queue, None)) is not None:
        raise ValueError(f"a layer {left.kind} is left over")
    return network


def _layers(graph: Any) -> list[_Layer]:
    """The graph's layers in order, BNs behind convolutions folded into them; reshapes and dropout left out."""
    from onnx import numpy_helper

    values = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = node.attribute[0].t
    uses = Counter(name for node in graph.node for name in node.input)
    alias: dict[str, str] = {}
    layers: list[_Layer] = []
    for node in graph.node:
        names = [alias.get(name, name) for name in node.input]
        if node.op_type in ("Flatten", "Reshape", "Dropout", "Identity"):
            alias[node.output[0]] = names[0]
            continue
        if node.op_type in ("Constant", "Shape", "Gather", "Concat", "Unsqueeze"):  # how a reshape finds its shape
            continue
        arrays = [numpy_helper.to_array(values[name]).astype(np.float32) for name in node.input if name in values]
        layer = _Layer(node.op_type, arrays, _stride(node), [n for n in names if n not in values], node.output[0])
        _check(node)
        before = layers[-1] if layers else None
        if (
            layer.kind == "BatchNormalization"
            and before is not None
            and before.kind == "Conv"
            and layer.inputs == [before.output]
            and uses[before.output] == 1
        ):
            _fold(before, layer)
        else:
            layers.append(layer)
    return layers


def _fold(conv: _Layer, norm: _Layer) -> None:
    """Put a BN into the convolution before it, in float64."""
    scale, shift, mean, variance = (array.astype(np.float64) for array in norm.weights)
    factor = scale / np.sqrt(variance + EPSILON)
    kernel = conv.weights[0].astype(np.float64)
    bias = conv.weights[1].astype(np.float64) if len(conv.weights) > 1 else 0.0
    conv.weights = [
        (kernel * factor[:, None, None, None]).astype(np.float32),
        ((bias - mean) * factor + shift).astype(np.float32),
    ]
    conv.output = norm.output


def _shape_of(layers: list[_Layer], graph: Any) -> IResNetShape:
    """Widths, strides and blocks, by what lies between the additions."""
    ends = [index for index, layer in enumerate(layers) if layer.kind == "Add"]
    if not ends or layers[0].kind != "Conv":
        raise ValueError("it has no residual blocks")
    blocks: list[BlockShape] = []
    start = 2
    for end in ends:
        convs = [layer for layer in layers[start:end] if layer.kind == "Conv"]
        wide = [layer for layer in convs if layer.weights[0].shape[-1] == 3]
        if len(wide) != 2 or len(convs) not in (2, 3):
            raise ValueError(f"block {len(blocks)} has {len(convs)} convolutions")
        first, second = wide[0].weights[0], wide[1].weights[0]
        blocks.append(
            BlockShape(
                first.shape[1], first.shape[0], second.shape[0], wide[0].stride * wide[1].stride, len(convs) == 3
            )
        )
        start = end + 1
    linear = next(layer for layer in layers if layer.kind == "Gemm").weights[0]
    return IResNetShape(
        layers[0].weights[0].shape[0], tuple(blocks), linear.shape[1] // blocks[-1].outputs, linear.shape[0]
    )


def _put(module: nn.Module, layer: _Layer, kind: str) -> None:
    """Copy a layer's weights into a module; ValueError where it is of another kind or shape."""
    if layer.kind != kind:
        raise ValueError(f"a layer is {layer.kind} where {kind} is due")
    arrays = [torch.from_numpy(array.copy()) for array in layer.weights]
    if kind == "PRelu":
        arrays = [arrays[0].flatten()]
    targets: list[Tensor]
    if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
        assert module.running_mean is not None and module.running_var is not None
        targets = [module.weight, module.bias, module.running_mean, module.running_var]
    else:
        targets = list(module.parameters())
    if kind == "Conv" and len(arrays) == 1:
        arrays.append(torch.zeros(len(arrays[0])))
    if [a.shape for a in arrays] != [t.shape for t in targets]:
        raise ValueError(f"{kind} has {[tuple(a.shape) for a in arrays]}, not {[tuple(t.shape) for t in targets]}")
    with torch.no_grad():
        for target, array in zip(targets, arrays, strict=True):
            target.copy_(array)


def _stride(node: Any) -> int:
    return next((attribute.ints[0] for attribute in node.attribute if attribute.name == "strides"), 1)


def _check(node: Any) -> None:
    """ValueError for a layer with other constants than this network's."""
    given = {a.name: a.f if a.type == a.FLOAT else a.i for a in node.attribute}
    if node.op_type == "BatchNormalization" and abs(given.get("epsilon", EPSILON) - EPSILON) > 1e-8:
        raise ValueError(f"a BatchNormalization has epsilon {given['epsilon']}")
    if node.op_type == "Gemm" and (given.get("transB"), given.get("alpha", 1.0), given.get("beta", 1.0)) != (1, 1, 1):
        raise ValueError(f"the last layer is a Gemm with {given}")
