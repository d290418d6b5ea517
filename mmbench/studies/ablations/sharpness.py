"""Sharpness: what tuning on blurred clips takes away, whatever it does to grain and motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mmbench.metrics.base import MetricFacts

if TYPE_CHECKING:
    from pathlib import Path

SHARPNESS: Final = MetricFacts(
    name="sharpness",
    title="Sharpness",
    higher_is_better=True,
    unit="grey levels",
    range=(0.0, None),
    definition="Standard deviation of the Laplacian (3 x 3) of the luma (0-255); mean over frames, then over clips.",
    source="Pech-Pacheco et al. (ICPR 2000), variance of the Laplacian; its root is in grey levels",
    caveats="Grain counts as sharp; comparable between clips of one size only.",
    decimals=2,
)


def clip_sharpness(video: Path) -> float:
    """The sharpness of one video. Raises MediaError."""
    import cv2

    from mmbench.video.read import open_clip

    held = [
        cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_64F).std() for frame in open_clip(video).frames()
    ]
    return float(np.mean(held))
