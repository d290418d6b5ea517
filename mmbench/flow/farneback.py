"""Farneback's flow (2003) averaged over a clip as OpenS2V's motion amplitude takes it: no network, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.need import FrameNeed, Maker, Networks

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings

WIDTH = 16
"""Of the map that every flow is averaged to, in cells; its height follows the frame's."""
PYRAMID, LEVELS, WINDOW, ITERATIONS, NEIGHBOURS, SIGMA = 0.5, 3, 15, 3, 5, 1.2


@dataclass(frozen=True)
class MeanFlow:
    """`maps` float32 (n_frames - 1, h, 16, 2): displacement in px, right and down, of every pair of frames."""

    maps: NDArray[np.float32]
    provenance: Provenance


class FarnebackPass:
    """The flow of every pair of neighbouring frames, averaged to 16 cells across as soon as it is there."""

    name = "farneback"

    def start(self, clip: ClipInfo) -> None:
        """Forget the clip before."""
        self._before: NDArray[Any] | None = None
        self._maps: list[NDArray[Any]] = []

    def feed(self, index: int, frame: Frame) -> None:
        """The flow from the frame before.

        Red and blue change places on the way to grey, as in the original, which hands RGB frames to OpenCV's BGR.
        """
        import cv2

        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        if self._before is not None:
            nothing: Any = None  # no first guess; OpenCV's types do not know that it may be left out
            flow = cv2.calcOpticalFlowFarneback(
                self._before, grey, nothing, PYRAMID, LEVELS, WINDOW, ITERATIONS, NEIGHBOURS, SIGMA, 0
            )
            size = (WIDTH, max(1, int(flow.shape[0] * (WIDTH / flow.shape[1]))))
            self._maps.append(cv2.resize(flow, size, interpolation=cv2.INTER_AREA))
        self._before = grey

    def finish(self) -> MeanFlow:
        """All maps."""
        import cv2

        maps = np.stack(self._maps) if self._maps else np.empty((0, 1, WIDTH, 2), np.float32)
        return MeanFlow(maps.astype(np.float32), Provenance("farneback", versions={"opencv": cv2.__version__}))


class FarnebackNeed(FrameNeed[MeanFlow]):
    """Farneback's flow between all neighbouring frames, averaged in space."""

    name = "farneback"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Nothing of the settings."""
        return {}

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[MeanFlow]:
        """Passes; nothing is loaded."""
        return Maker(FarnebackPass)


FARNEBACK = FarnebackNeed()
