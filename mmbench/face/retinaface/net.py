"""RetinaFace (Deng et al., CVPR 2020) with a ResNet-50: the network of the package retinaface-pytorch.

Attributes are named as in the published checkpoint `resnet50_2020-07-20`, so its 456 keys load without a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50
from torchvision.models.resnet import BasicBlock

ANCHORS = 2
Outputs = tuple[Tensor, Tensor, Tensor]


class RetinaFace(nn.Module):
    """Normalised pictures to box offsets, class logits and landmark offsets of every prior box.

    `channels` are those of the backbone's last three stages, `width` that of the pyramid.
    """

    def __init__(self, backbone: ResNet, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.body = nn.ModuleDict(
            {name: module for name, module in backbone.named_children() if name not in ("avgpool", "fc")}
        )
        self.fpn = _Pyramid(channels, width)
        self.ssh1, self.ssh2, self.ssh3 = (_Context(width) for _ in range(3))
        self.ClassHead = nn.ModuleList(_Head(width, 2) for _ in range(3))
        self.BboxHead = nn.ModuleList(_Head(width, 4) for _ in range(3))
        self.LandmarkHead = nn.ModuleList(_Head(width, 10) for _ in range(3))

    def forward(self, pictures: Tensor) -> Outputs:
        """float32 (B, 3, H, W) -> boxes (B, P, 4), logits (B, P, 2), landmarks (B, P, 10), strides 8, 16, 32."""
        stages = []
        x = pictures
        for name, module in self.body.items():
            x = module(x)
            if name in ("layer2", "layer3", "layer4"):
                stages.append(x)
        levels = self.fpn(stages)
        features = [self.ssh1(levels[0]), self.ssh2(levels[1]), self.ssh3(levels[2])]
        boxes, logits, landmarks = (
            torch.cat([head(feature) for head, feature in zip(heads, features, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, logits, landmarks


class TinyRetinaFace(RetinaFace):
    """A small random network that always sees a face or a few: logits are set off against their largest.

    Only the middle pyramid level speaks, whose priors are of useful size.
    """

    def __init__(self) -> None:
        super().__init__(ResNet(BasicBlock, [1, 1, 1, 1]), (128, 256, 512), width=32)

    def forward(self, pictures: Tensor) -> Outputs:
        """As in the base class."""
        boxes, logits, landmarks = super().forward(pictures)
        height, width = pictures.shape[-2:]
        first, second = (ANCHORS * -(-height // stride) * -(-width // stride) for stride in (8, 16))
        face = torch.full_like(logits[..., 1], -100.0)
        middle = logits[:, first : first + second, 1]
        face[:, first : first + second] = 100 * (middle - middle.max(dim=1, keepdim=True).values) + 3
        return 0.1 * boxes, torch.stack([torch.zeros_like(face), face], dim=-1), landmarks


def large_retinaface() -> RetinaFace:
    """The published architecture, 27.3 million parameters."""
    return RetinaFace(resnet50(weights=None), (512, 1024, 2048), width=256)


class _Head(nn.Module):
    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(width, ANCHORS * values, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1x1(x).permute(0, 2, 3, 1)
        return out.reshape(len(x), -1, self.values)


class _Pyramid(nn.Module):
    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (_conv(count, width, 1, _leak(width)) for count in channels)
        self.merge1, self.merge2 = (_conv(width, width, 3, _leak(width)) for _ in range(2))

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        fine, middle, coarse = self.output1(stages[0]), self.output2(stages[1]), self.output3(stages[2])
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[-2:], mode="nearest"))
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[-2:], mode="nearest"))
        return [fine, middle, coarse]


class _Context(nn.Module):
    """SSH's context module: receptive fields of 3, 5 and 7 by stacked 3 x 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv3X3 = _conv(width, width // 2, 3, None)
        self.conv5X5_1 = _conv(width, width // 4, 3, _leak(width))
        self.conv5X5_2 = _conv(width // 4, width // 4, 3, None)
        self.conv7X7_2 = _conv(width // 4, width // 4, 3, _leak(width))
        self.conv7x7_3 = _conv(width // 4, width // 4, 3, None)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return F.relu(torch.cat(parts, dim=1))


def _leak(width: int) -> float:
    return 0.1 if width <= 64 else 0.0


def _conv(inputs: int, outputs: int, kernel: int, leak: float | None) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if leak is None else [nn.LeakyReLU(leak)]))
