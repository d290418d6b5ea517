"""What the pipeline returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers.utils import BaseOutput

from mmbench.model.pipeline.guidance import DynamicGuidance, GuidanceMode


@dataclass(frozen=True)
class RunInfo:
    """How a video was made: to be kept with it.

    weights_note: what is not the published weights ("random", "untrained adapter"), or None. direct_path:
    why the tabulated path was not taken, or None where it was. identity_words: the word that carried the
    identity, per prompt.
    """

    weights_note: str | None
    scheduler: str
    steps: int
    guidance_scale: float
    dynamic_guidance: DynamicGuidance
    identity_guidance: GuidanceMode | None
    identity_scale: float
    identity_words: tuple[str, ...]
    direct_path: str | None


@dataclass
class MagicMirrorPipelineOutput(BaseOutput):  # type: ignore[misc]  # diffusers is untyped
    """What a call of the pipeline returns.

    frames: per video a list of PIL images, or float32 [B, T, H, W, 3] ("np"), [B, T, 3, H, W] ("pt"), in [0, 1];
    latents [B, T', C, h, w] for "latent".
    """

    frames: Any
    info: RunInfo


@dataclass
class MagicMirrorImageOutput(BaseOutput):  # type: ignore[misc]  # diffusers is untyped
    """images: one PIL image per video (or the first frame of each, for other output types)."""

    images: list[Any]
    info: RunInfo
