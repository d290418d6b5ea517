"""CurricularFace's IR-101 (Huang et al., CVPR 2020) as ConsisID and OpenS2V run it: another network than ArcFace's.

Modules are named as in the published file (`glint360k_curricular_face_r101_backbone.bin`, TFace's layout), so its keys
load without a map. The IResNet beside ArcFace (`mmbench.face.insightface.iresnet`) has its norms folded in and another
last layer, and reads ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmbench.face.cut import SIDE

DEPTHS = (3, 13, 30, 3)
WIDTHS = (64, 64, 128, 256, 512)
"""Of the stem and of the four stages."""
TINY_DEPTHS, TINY_WIDTHS = (1, 1, 1, 1), (8, 8, 8, 16, 16)
EMBEDDING_SIZE = 512
BATCH = 8


class _Block(nn.Module):
    """Norm, 3x3 convolution, norm, PReLU, 3x3 convolution with the stride, norm; plus the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.res_layer(rows) + self.shortcut_layer(rows)
        return out


class CurricularFace(nn.Module):
    """RGB cuts (B, 3, 112, 112) in [-1, 1] to raw vectors (B, 512)."""

    def __init__(self, depths: Sequence[int] = DEPTHS, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        blocks = []
        for depth, (before, width) in zip(depths, pairwise(widths), strict=True):
            blocks += [_Block(before if first else width, width, 2 if first else 1) for first in _firsts(depth)]
        self.body = nn.Sequential(*blocks)
        cells = (SIDE >> len(depths)) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(widths[-1] * cells, EMBEDDING_SIZE),
            nn.BatchNorm1d(EMBEDDING_SIZE, affine=False),
        )

    def forward(self, cuts: Tensor) -> Tensor:
        """Vectors (B, 512), not normalised."""
        out: Tensor = self.output_layer(self.body(self.input_layer(cuts)))
        return out


def _firsts(depth: int) -> list[bool]:
    return [index == 0 for index in range(depth)]


def curricular_vectors(network: nn.Module, faces: NDArray[np.uint8], device: torch.device | str) -> NDArray[np.float32]:
    """(M, 224, 224, 3) uint8 RGB aligned faces -> (M, 512) float32, raw.

    As both scripts do it, every face is brought to 112 px bilinearly (not by areas, so every second pixel pair counts).
    """
    import cv2

    rows = [np.empty((0, EMBEDDING_SIZE), np.float32)]
    for start in range(0, len(faces), BATCH):
        small = np.stack([cv2.resize(face, (SIDE, SIDE)) for face in faces[start : start + BATCH]])
        cuts = torch.from_numpy(small).permute(0, 3, 1, 2).float().to(device)
        with torch.inference_mode():
            rows.append(network(cuts.div_(255).sub_(0.5).div_(0.5)).cpu().numpy())
    return np.concatenate(rows)
