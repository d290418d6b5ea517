"""insightface's SCRFD detector and ArcFace recogniser from their ONNX files, without the insightface package.

The arithmetic is that of insightface 0.7 `FaceAnalysis` (deepinsight/insightface, python-package): it decides which
crop and which vector the identity models were trained with. The package itself downloads on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.baselines.faces import ARCFACE_POINTS, Face, Floats, aligned
from mmbench.errors import MissingDependency
from mmbench.weights.folders import file_of

if TYPE_CHECKING:
    from PIL.Image import Image

STRIDES = (8, 16, 32)
ANCHORS = 2
SCORE, OVERLAP = 0.5, 0.4


@dataclass(frozen=True)
class Pack:
    """Registry names of a detector and a recogniser that belong together."""

    detector: str
    recogniser: str


BUFFALO_L = Pack("buffalo-l-det-10g", "buffalo-l-w600k-r50")
"""ID-Animator's and PhotoMaker's pack; non-commercial research only."""
ANTELOPE_V2 = Pack("consisid-scrfd-10g-bnkps", "consisid-glintr100")
"""ConsisID's pack; non-commercial research only."""


def open_analyser(pack: Pack, weights_dir: Path, device: str) -> OnnxFaces:
    """The pack's networks. Raises MissingWeights, MissingDependency."""
    return OnnxFaces(
        open_session(file_of(pack.detector, weights_dir), device),
        open_session(file_of(pack.recogniser, weights_dir), device),
        plain_input(file_of(pack.recogniser, weights_dir)),
    )


def open_session(path: Path, device: str) -> Any:
    """An onnxruntime session: on CUDA where asked for and built in, else on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "Face networks need onnxruntime, which is not installed.", "pip install 'mmbench[insightface]'"
        ) from error
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(str(path), providers=[*providers, "CPUExecutionProvider"])


def plain_input(path: Path) -> bool:
    """Whether a recogniser's own graph begins by normalising its input, so that it takes plain 0-255 values.

    insightface decides it by a subtraction and a multiplication among the first eight nodes.
    """
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node[:8]
    names = [node.name for node in nodes]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    return subtracts and any(name.startswith(("Mul", "_mul")) for name in names)


class OnnxFaces:
    """SCRFD and ArcFace behind `FaceAnalyser`."""

    def __init__(self, detector: Any, recogniser: Any, recogniser_takes_plain: bool) -> None:
        self.detector = detector
        self.recogniser = recogniser
        self.shift, self.scale = (0.0, 1.0) if recogniser_takes_plain else (127.5, 1 / 127.5)

    def find(self, picture: Image, detector_size: int) -> list[Face]:
        pixels = np.asarray(picture, dtype=np.uint8)
        canvas, scale = letterbox(pixels, detector_size)
        blob = ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        outputs = self.detector.run(None, {self.detector.get_inputs()[0].name: blob})
        boxes, points, scores = decode([output.reshape(-1, output.shape[-1]) for output in outputs], detector_size)
        return [
            Face(boxes[i] / scale, points[i] / scale, float(scores[i]), self.embed(pixels, points[i] / scale))
            for i in suppress(boxes, scores)
        ]

    def embed(self, picture: NDArray[np.uint8], points: Floats) -> Floats:
        """Raw 512-d embedding of the face at `points` in an RGB picture."""
        return self.embed_crop(aligned(picture, points, ARCFACE_POINTS, 112))

    def embed_crop(self, crop: NDArray[np.uint8]) -> Floats:
        """Raw 512-d embedding of a 112x112 RGB crop."""
        blob = ((crop.astype(np.float32) - self.shift) * self.scale).transpose(2, 0, 1)[None]
        found = self.recogniser.run(None, {self.recogniser.get_inputs()[0].name: blob})[0]
        return np.asarray(found, dtype=np.float32).reshape(-1)


def letterbox(picture: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """`picture` fitted into the top left of a black square of `side`, and its scale there."""
    import cv2

    height, width = picture.shape[:2]
    if height > width:
        new_height, new_width = side, int(side / (height / width))
    else:
        new_height, new_width = int(side * (height / width)), side
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(picture, (new_width, new_height))
    return canvas, new_height / height


def decode(outputs: list[Floats], side: int) -> tuple[Floats, Floats, Floats]:
    """Boxes (n, 4), points (n, 5, 2) and scores (n,) above the threshold, surest first, in canvas pixels.

    `outputs` are SCRFD's nine arrays: scores, then boxes, then points, each at strides 8, 16 and 32, with two anchors
    a cell; distances are in units of the stride.
    """
    boxes, points, scores = [], [], []
    for level, stride in enumerate(STRIDES):
        score, box, point = (outputs[level + 3 * kind] for kind in range(3))
        cells = side // stride
        grid = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1).reshape(-1, 2)
        centres = np.repeat(grid.astype(np.float32) * stride, ANCHORS, axis=0)
        kept = np.flatnonzero(score[:, 0] >= SCORE)
        centre, distance = centres[kept], box[kept] * stride
        boxes.append(np.hstack([centre - distance[:, :2], centre + distance[:, 2:]]))
        points.append(centre[:, None] + point[kept].reshape(-1, 5, 2) * stride)
        scores.append(score[kept, 0])
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return np.vstack(boxes)[order], np.vstack(points)[order], score[order]


def suppress(boxes: Floats, scores: Floats) -> list[int]:
    """Indices kept by greedy non-maximum suppression; `boxes` come surest first."""
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left = list(range(len(scores)))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        if left:
            corner_a = np.maximum(boxes[best, :2], boxes[left, :2])
            corner_b = np.minimum(boxes[best, 2:], boxes[left, 2:])
            inter = np.prod(np.maximum(0.0, corner_b - corner_a + 1), axis=1)
            overlap = inter / (area[best] + area[left] - inter)
            left = [index for index, value in zip(left, overlap, strict=True) if value <= OVERLAP]
    return kept
