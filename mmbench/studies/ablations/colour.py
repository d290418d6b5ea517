"""Colour shift: how far training the adapter moved the colours of a video that the base makes of the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.metrics.base import MetricFacts
from mmbench.studies.ablations.arms import BASE

if TYPE_CHECKING:
    from pathlib import Path

    from mmbench.items import Item

COLOUR: Final = MetricFacts(
    name="colour_shift",
    title="Colour shift",
    higher_is_better=False,
    unit="CIELAB distance",
    range=(0.0, None),
    definition=(
        "Distance of the mean CIELAB colour of a video's upper corners (an eighth of height and width each, where the "
        "background is) from that of the base model's video of the same noise and prompt; mean over clips."
    ),
    source="mmbench, for what the paper's section 4.4 says of image-only training",
    caveats="A person of other build covers the corners in other ways; the same people are compared in all arms.",
)


def colour_shift(items: Sequence[Item]) -> dict[str, dict[tuple[str, int | None, int | None], float]]:
    """The shift of every clip by model and (identity, prompt, seed); clips without a base's of the same are left out.

    Nothing is measured where the base has no clips.
    """
    base = {(i.identity, i.prompt_index, i.seed): corner_colour(i.video) for i in items if i.model == BASE}
    found: dict[str, dict[tuple[str, int | None, int | None], float]] = {}
    for item in items:
        key = (item.identity, item.prompt_index, item.seed)
        if item.model != BASE and key in base:
            distance = float(np.linalg.norm(corner_colour(item.video) - base[key]))
            found.setdefault(item.model, {})[key] = distance
    return found


def corner_colour(video: Path) -> NDArray[np.float64]:
    """The mean CIELAB colour (3,) of a video's two upper corners over all frames. Raises MediaError."""
    import cv2

    from mmbench.video.read import open_clip

    means = []
    for frame in open_clip(video).frames():
        height, width = max(1, frame.shape[0] // 8), max(1, frame.shape[1] // 8)
        corners = np.concatenate([frame[:height, :width], frame[:height, -width:]], axis=1)
        lab = cv2.cvtColor(corners.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        means.append(lab.reshape(-1, 3).mean(axis=0))
    return np.asarray(np.mean(means, axis=0), np.float64)
