"""From frames to faces with RetinaFace: scaling, prior boxes, decoding, suppression; nothing is rounded.

The package retinaface-pytorch 0.0.7 truncates landmarks to whole pixels and builds its priors in Python loops;
the arithmetic here is the same without either.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.types import Face
from mmbench.video.clip import Frame

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmbench.face.retinaface.net import RetinaFace

STRIDES = (8, 16, 32)
PRIOR_SIZES = ((16, 32), (64, 128), (256, 512))
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
MIN_SCORE = 0.7
MAX_OVERLAP = 0.4
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def detect_faces(
    network: RetinaFace, frames: Sequence[Frame], max_side: int, device: torch.device | str
) -> list[list[Face]]:
    """Faces of frames of one size in one forward, best first, in pixels of the frames.

    The longer side is scaled to `max_side`, up or down, as retinaface-pytorch does. Pictures go to `device`
    together; decoding and suppression run there.
    """
    import torch

    height, width = frames[0].shape[:2]
    pictures = torch.from_numpy(np.stack([scaled(frame, max_side) for frame in frames])).to(device)
    pictures = pictures.permute(0, 3, 1, 2)
    with torch.inference_mode(), _float32(pictures.device):
        outputs = network(normalise(in_layout(pictures)))
    size = (pictures.shape[-2], pictures.shape[-1])
    factor = (width / size[1], height / size[0])
    return [decode(boxes, logits, landmarks, size, factor) for boxes, logits, landmarks in zip(*outputs, strict=True)]


def decode(
    boxes: Tensor, logits: Tensor, landmarks: Tensor, size: tuple[int, int], factor: tuple[float, float] = (1.0, 1.0)
) -> list[Face]:
    """Faces of one picture from the network's (P, 4), (P, 2) and (P, 10) for a picture of `size` (height, width).

    `factor` takes picture pixels to frame pixels (x, y). Scores above 0.7, overlaps up to 0.4.
    """
    import torch
    from torchvision.ops import nms

    scores = torch.softmax(logits, dim=-1)[:, 1]
    kept = torch.where(scores > MIN_SCORE)[0]
    chosen = prior_boxes(*size, boxes.device)[kept]
    centre, extent = chosen[:, :2], chosen[:, 2:]
    middle = centre + boxes[kept, :2] * CENTRE_VARIANCE * extent
    sides = extent * torch.exp(boxes[kept, 2:] * SIZE_VARIANCE)
    corner = middle - sides / 2
    scale = torch.tensor([size[1], size[0]], dtype=torch.float32, device=boxes.device)
    found = torch.cat([corner * scale, (sides + corner) * scale], dim=1)
    offsets = landmarks[kept].view(-1, 5, 2)
    points = (centre[:, None] + offsets * CENTRE_VARIANCE * extent[:, None]) * scale
    order = nms(found, scores[kept], MAX_OVERLAP)
    rows = torch.cat([scores[kept, None], found, points.flatten(1)], dim=1)[order].cpu().numpy()
    to_frame = np.array(factor, dtype=np.float32)
    faces = []
    for row in rows:
        box = row[1:5] * np.tile(to_frame, 2)
        points5 = row[5:].reshape(5, 2) * to_frame
        faces.append(Face(box=box, score=float(row[0]), points=points5, points68=None, tight_box=box))
    return faces


def in_layout(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) that lie in memory as frames do, in the layout the network is fastest in.

    Left as they are on the processor: that saves 5 to 10 % of its time, and the other order of the sums moves raw
    outputs by 6e-6. Plane by plane on a GPU, whose kernels gain by the frames' layout below full float32 only.
    """
    return pictures if pictures.device.type == "cpu" else pictures.contiguous()


def _float32(device: torch.device) -> AbstractContextManager[Any]:
    """Convolutions in full float32: TF32, torch's default on a GPU, has 10 bits, too few for landmarks."""
    from torch.backends import cudnn

    return cudnn.flags(enabled=True, allow_tf32=False) if device.type == "cuda" else nullcontext()


@lru_cache(maxsize=16)
def prior_boxes(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Centre and size (x, y, w, h) of every prior as shares of the picture: float32 (P, 4) on `device`.

    Cells row by row, two sizes a cell, strides 8, 16 and 32; computed in float64 and then rounded, as the
    original's Python loop does.
    """
    import torch

    levels = []
    for stride, sizes in zip(STRIDES, PRIOR_SIZES, strict=True):
        rows = (np.arange(-(-height // stride)) + 0.5) * stride / height
        columns = (np.arange(-(-width // stride)) + 0.5) * stride / width
        y, x, side = np.meshgrid(rows, columns, np.array(sizes, dtype=np.float64), indexing="ij")
        levels.append(np.stack([x, y, side / width, side / height], axis=-1).reshape(-1, 4))
    return torch.from_numpy(np.concatenate(levels).astype(np.float32)).to(device)


def scaled(frame: Frame, max_side: int) -> NDArray[np.uint8]:
    """The frame with its longer side at `max_side` px, bilinear."""
    import cv2

    height, width = frame.shape[:2]
    if max(height, width) == max_side:
        return np.ascontiguousarray(frame)
    factor = max_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def normalise(pictures: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 with ImageNet's mean and deviation."""
    import torch

    mean = torch.tensor(MEAN, device=pictures.device).view(3, 1, 1) * 255
    std = torch.tensor(STD, device=pictures.device).view(3, 1, 1) * 255
    return (pictures.float() - mean) / std
