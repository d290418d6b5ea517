"""LAION's aesthetic head (improved-aesthetic-predictor, "sac+logos+ava1-l14"), and the frames OpenS2V gives it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

AESTHETIC = "laion-aesthetic-v2"
WIDTHS = (768, 1024, 128, 64, 16, 1)
DROPPED = (0.2, 0.2, 0.1)
FRAMES = 32
"""OpenS2V's script of autumn 2026; its first tables were made with 16."""
CLIP_FRAMES = 16
"""Of ConsisID's CLIPScore."""


class AestheticHead(nn.Module):
    """Unit features (F, 768) of CLIP ViT-L/14 to scores (F, 1), about 1 to 10; linear layers with nothing between."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(WIDTHS)):
            layers.append(nn.Linear(before, after))
            if number < len(DROPPED):
                layers.append(nn.Dropout(DROPPED[number]))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (F, 1)."""
        out: Tensor = self.layers(features)
        return out


def spread_frames(n_frames: int) -> NDArray[np.int64]:
    """The 32 frames of OpenS2V's aesthetic score: linspace(0, N-1), cut off to whole numbers."""
    return np.linspace(0, n_frames - 1, FRAMES, dtype=np.int64)


def early_frames(n_frames: int) -> NDArray[np.int64]:
    """The 16 frames of ConsisID's CLIPScore: int(i N / 16), so the last sixteenth is never seen."""
    return np.array([int(index * n_frames / CLIP_FRAMES) for index in range(CLIP_FRAMES)], dtype=np.int64)
