"""Does every frame bring something new? Duplicated frames upset every statistic of consecutive frames.

A clip converted to a higher rate, or written as a GIF with uneven delays, repeats frames at regular places:
step, double step, duplicate. The check compares tiny grey thumbnails of neighbouring frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmbench.video.clip import ClipInfo, Frame

THUMBNAIL_WIDTH = 64

# A transition is a near-duplicate when it changes the picture less than this share of what the largest of its
# neighbours (two to each side) does...
DUPLICATE_SHARE = 0.15
NEIGHBOURS = 2

# ...and that one changes it by at least this many of the 256 grey levels: a clip at rest has no cadence to
# break.
LEAST_MOTION = 0.5

# Share of near-duplicate transitions above which a clip gets the warning.
WARN_ABOVE = 0.10


class CadencePass:
    """A `FramePass` that keeps one thumbnail and one number a frame; `finish` gives the clip's warnings."""

    name = "cadence"

    def start(self, clip: ClipInfo) -> None:
        """Forget everything."""
        self._last: NDArray[np.float32] | None = None
        self.differences: list[float] = []

    def feed(self, index: int, frame: Frame) -> None:
        """Compare one frame with the one before."""
        small = thumbnail(frame)
        if self._last is not None:
            self.differences.append(float(np.abs(small - self._last).mean()))
        self._last = small

    def finish(self) -> tuple[str, ...]:
        """A `cadence` warning when more than 10 % of the transitions are near-duplicates, else nothing."""
        share = near_duplicate_share(np.array(self.differences))
        if share <= WARN_ABOVE:
            return ()
        return (
            f"cadence: {share:.0%} of the frames nearly repeat the one before; statistics of consecutive frames "
            "(motion smoothness, motion rate) are unreliable.",
        )


def thumbnail(frame: Frame) -> NDArray[np.float32]:
    """Grey thumbnail 64 pixels wide, aspect kept, each pixel the mean of those it covers; float32 0..255."""
    import cv2

    height, width = frame.shape[:2]
    size = (min(width, THUMBNAIL_WIDTH), max(1, min(height, round(height * THUMBNAIL_WIDTH / width))))
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def near_duplicate_share(differences: NDArray[np.float64]) -> float:
    """Share of near-duplicates among transitions, (T,) mean absolute differences in grey levels -> 0..1.

    A pause is not a duplicate: each transition is judged by its nearest neighbours alone. Fewer than three
    transitions give 0.
    """
    if len(differences) < 3:
        return 0.0
    padded = np.pad(differences, NEIGHBOURS)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1).max(axis=1)
    duplicate = (around >= LEAST_MOTION) & (differences < DUPLICATE_SHARE * around)
    return float(duplicate.mean())
