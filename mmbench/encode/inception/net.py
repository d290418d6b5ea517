"""The Inception network of FID and the Inception Score: TensorFlow's of 2015-12-05, ported to torch.

Source: pytorch-fid (Seitzer, 2020), as vendored by pytorch-gan-metrics 0.5.3 and EvalCrafter. It is torchvision's
Inception v3 without the auxiliary head, with 1008 classes and three differences: average pools leave the padding
out of the mean, and the last block pools by maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception

CLASSES = 1008
SIDE = 299
ConvBlock = Callable[..., nn.Module]


class _BlockA(inception.InceptionA):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_mean_pool(x)),
        ]


class _BlockB(inception.InceptionB):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch3x3(x), double, _max_pool(x)]


class _BlockC(inception.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_mean_pool(x)),
        ]


class _BlockD(inception.InceptionD):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        tall = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return [self.branch3x3_2(self.branch3x3_1(x)), tall, _max_pool(x)]


class _BlockE(inception.InceptionE):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(single), self.branch3x3_2b(single)], 1),
            torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1),
            self.branch_pool(self._pool(x)),
        ]

    def _pool(self, x: Tensor) -> Tensor:
        return _mean_pool(x)


class _LastBlockE(_BlockE):
    def _pool(self, x: Tensor) -> Tensor:
        return _max_pool(x, stride=1, padding=1)


def _mean_pool(x: Tensor) -> Tensor:
    pooled = F.avg_pool2d(_channels_last(x), kernel_size=3, stride=1, padding=1, count_include_pad=False)
    return pooled.contiguous()


def _max_pool(x: Tensor, stride: int = 2, padding: int = 0) -> Tensor:
    return F.max_pool2d(_channels_last(x), kernel_size=3, stride=stride, padding=padding).contiguous()


def _channels_last(x: Tensor) -> Tensor:
    """For the pools only: they are three times as fast on a processor, to the same bits (convolutions are not)."""
    return x.contiguous(memory_format=torch.channels_last)


class FidInception(nn.Module):
    """Pictures to "unbiased logits". Attributes are named as in the published checkpoint.

    `divide` divides every channel count, for tiny random networks; 1 is the real one.
    """

    def __init__(self, divide: int = 1) -> None:
        super().__init__()

        def conv(in_channels: int, out_channels: int, **geometry: Any) -> nn.Module:
            wide_in = in_channels if in_channels == 3 else in_channels // divide
            block: nn.Module = inception.BasicConv2d(wide_in, out_channels // divide, **geometry)
            return block

        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.Mixed_5b = _BlockA(192, pool_features=32, conv_block=conv)
        self.Mixed_5c = _BlockA(256, pool_features=64, conv_block=conv)
        self.Mixed_5d = _BlockA(288, pool_features=64, conv_block=conv)
        self.Mixed_6a = _BlockB(288, conv_block=conv)
        self.Mixed_6b = _BlockC(768, channels_7x7=128, conv_block=conv)
        self.Mixed_6c = _BlockC(768, channels_7x7=160, conv_block=conv)
        self.Mixed_6d = _BlockC(768, channels_7x7=160, conv_block=conv)
        self.Mixed_6e = _BlockC(768, channels_7x7=192, conv_block=conv)
        self.Mixed_7a = _BlockD(768, conv_block=conv)
        self.Mixed_7b = _BlockE(1280, conv_block=conv)
        self.Mixed_7c = _LastBlockE(2048, conv_block=conv)
        self.fc = nn.Linear(2048 // divide, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> logits float32 (B, 1008), without the last layer's bias.

        The pictures are squeezed to 299 x 299 by half-pixel bilinear interpolation on [0, 1] floats, without
        antialiasing and without regard to their aspect, then scaled to [-1, 1].
        """
        x = F.interpolate(pictures.float() / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return self.layers(2 * x - 1)

    def layers(self, x: Tensor) -> Tensor:
        """Float pictures (B, 3, 299, 299) in [-1, 1] -> logits as of `forward`."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = _max_pool(x)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = _max_pool(x)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6a(x)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        x = torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)
        return F.linear(x, self.fc.weight)


def randomise(network: FidInception, seed: int = 0) -> None:
    """Random weights and batch-norm statistics under which classes differ from picture to picture.

    With torch's own initialisation the signal dies on the way: every picture gets the same probabilities.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.8, 1.6, generator=generator)
        network.fc.weight.normal_(0, 16 / network.fc.in_features**0.5, generator=generator)
