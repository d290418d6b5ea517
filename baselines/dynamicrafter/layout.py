"""Widths of DynamiCrafter's networks, which its one checkpoint file does not state, and its variants' recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmbench.baselines.contract import Size

Prediction = Literal["v", "epsilon"]


@dataclass(frozen=True)
class Layout:
    """Sizes of all four networks; head widths and groups cannot be read off the tensors."""

    blocks: tuple[int, int, int, int] = (320, 640, 1280, 1280)
    head_width: int = 64
    context: int = 1024
    frames: int = 16
    tokens_per_frame: int = 16
    resampler_heads: int = 12
    resampler_head_width: int = 64
    resampler_layers: int = 4
    text_heads: int = 16
    vision_heads: int = 16
    vision_pixels: int = 224
    vision_patch: int = 14
    vae_blocks: tuple[int, ...] = (128, 256, 512, 512)
    vae_groups: int = 32


@dataclass(frozen=True)
class Recipe:
    """A variant as published: size, rate condition, what the network predicts, dynamic rescale, guidance rescale."""

    repo: str
    size: Size
    rate: int
    prediction: Prediction
    base_scale: float | None
    guidance_rescale: float
    learn_scale: bool
    rate_key: str = "fps_embedding"

    @property
    def zero_snr(self) -> bool:
        """Zero terminal SNR and trailing steps go with v-prediction."""
        return self.prediction == "v"


RECIPES = {
    "1024": Recipe("Doubiiu/DynamiCrafter_1024", (576, 1024), 10, "v", 0.3, 0.7, False),
    "512": Recipe("Doubiiu/DynamiCrafter_512", (320, 512), 24, "v", 0.7, 0.7, False),
    "256": Recipe("Doubiiu/DynamiCrafter", (256, 256), 3, "epsilon", None, 0.0, True, "framestride_embed"),
}
