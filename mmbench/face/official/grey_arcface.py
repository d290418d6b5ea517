"""ArcFace-ResNet18 on grey faces, the network of VBench-2.0's human identity."""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.face.official.cuts import GREY_SIDE


class _Block(nn.Module):
    """Norm, convolution, norm, PReLU, convolution with the stride, norm; plus the shortcut; the same PReLU again."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else None
        )

    def forward(self, rows: Tensor) -> Tensor:
        kept = rows if self.downsample is None else self.downsample(rows)
        out: Tensor = self.prelu(self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(self.bn0(rows)))))) + kept)
        return out


class GreyArcFace(nn.Module):
    """ronghuaiyang's ArcFace-ResNet18 without squeeze and excitation: (B, 1, 128, 128) in [-1, 1] to (B, 512).

    Modules are named as in `resnet18_110.pth`; keys there begin with "module.".
    """

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512), outputs: int = 512) -> None:
        super().__init__()
        first = widths[0]
        self.conv1 = nn.Conv2d(1, first, 3, 1, 1, bias=False)
        self.bn1, self.prelu, self.maxpool = nn.BatchNorm2d(first), nn.PReLU(), nn.MaxPool2d(2, 2)
        before = first
        for number, width in enumerate(widths, start=1):
            stage = nn.Sequential(_Block(before, width, 1 if number == 1 else 2), _Block(width, width, 1))
            self.add_module(f"layer{number}", stage)
            before = width
        self.bn4, self.dropout = nn.BatchNorm2d(before), nn.Dropout()
        self.fc5 = nn.Linear(before * (GREY_SIDE // 16) ** 2, outputs)
        self.bn5 = nn.BatchNorm1d(outputs)

    def forward(self, faces: Tensor) -> Tensor:
        """Vectors (B, 512), not normalised."""
        rows = self.maxpool(self.prelu(self.bn1(self.conv1(faces))))
        for number in range(1, 5):
            rows = self.get_submodule(f"layer{number}")(rows)
        out: Tensor = self.bn5(self.fc5(self.dropout(self.bn4(rows)).flatten(1)))
        return out
