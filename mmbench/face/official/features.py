"""Inception-v3 features of an aligned face, as ConsisID's script takes them for what it calls FID."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE = 299
BATCH = 8


def inception_features() -> nn.Module:
    """torchvision's Inception v3 with its 2048 pooled features as output: (B, 3, 299, 299) in [0, 1] -> (B, 2048).

    `transform_input` is what torchvision sets with its published weights: ImageNet's statistics are taken for those of
    the input, which the script does not normalise. Keys are those of `inception_v3_google-0cc3c7bd.pth`; its last layer
    is loaded and not used.
    """
    from torchvision.models import inception_v3

    network: nn.Module = inception_v3(weights=None, transform_input=True, aux_logits=True, init_weights=False)
    return network


class TinyFeatures(nn.Module):
    """A small random network in its place: (B, 3, 299, 299) -> (B, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 13, 13)
        self.mix = nn.Conv2d(8, 32, 3, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, 32)."""
        out: Tensor = torch.relu(self.mix(torch.relu(self.conv(pictures)))).mean((2, 3))
        return out


def feature_vectors(network: nn.Module, faces: NDArray[np.uint8], device: torch.device | str) -> NDArray[np.float32]:
    """(M, 224, 224, 3) uint8 RGB aligned faces -> (M, D) float32: PIL's bilinear 299 px, values in [0, 1]."""
    from PIL import Image

    rows: list[NDArray[Any]] = []
    for start in range(0, len(faces), BATCH):
        large = [
            np.asarray(Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
            for face in faces[start : start + BATCH]
        ]
        pictures = torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2).to(device).float().div(255)
        with torch.inference_mode():
            rows.append(network(pictures).cpu().numpy())
    return np.concatenate(rows).astype(np.float32)
