"""Where ConsisID's and OpenS2V's scripts look, how they find a face there, and the two cuts they make of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmbench.face.cut import aligned
from mmbench.face.geometry import largest
from mmbench.face.types import Face
from mmbench.video.clip import ClipInfo, Frame

DETECTOR_SIDE = 320
BORDER, GREY = 0.25, 128
"""Around a picture without a face, for a second look: a share of its sides on each of them, of this grey."""
LARGE_SIDE = 224
GREY_SIDE = 128
"""Pixels a side of the grey faces that VBench-2.0's human identity compares."""
COUNTS = {"consisid": 16, "opens2v": 32}
"""Frames that each protocol looks at."""


class FindsFaces(Protocol):
    """A detector: all faces of one frame (uint8 RGB), best first."""

    def detect(self, frame: Frame) -> list[Face]:
        """The faces."""


@dataclass(frozen=True, eq=False)
class FaceCut:
    """The largest face of one picture: `small` (112, 112, 3) and `large` (224, 224, 3), uint8 RGB, aligned.

    `padded` says that it was found only with a border; `small` is then cut from the picture with its border, `large`
    from the one without, as the scripts do it.
    """

    small: NDArray[np.uint8]
    large: NDArray[np.uint8]
    padded: bool


def frames_of(protocol: str, n_frames: int) -> NDArray[np.int64]:
    """The frames that a protocol looks at, (16,) or (32,) int64: linspace(0, N-1), cut off to whole numbers.

    A clip shorter than that has frames that count twice.
    """
    return np.linspace(0, n_frames - 1, COUNTS[protocol], dtype=np.int64)


def cut_face(detector: FindsFaces, picture: Frame) -> FaceCut | None:
    """The largest face by the area of its box, once more with a grey border where there is none; None without one."""
    padded, shift = picture, np.zeros(2, np.float32)
    faces = detector.detect(picture)
    if not faces:
        height, width = picture.shape[:2]
        high, wide = int(BORDER * height), int(BORDER * width)
        padded = np.pad(picture, ((high, high), (wide, wide), (0, 0)), constant_values=GREY)
        shift = np.array([wide, high], np.float32)
        faces = detector.detect(padded)
    if not faces:
        return None
    points = faces[largest([face.box for face in faces])].points
    return FaceCut(aligned(padded, points), aligned(picture, points - shift, LARGE_SIDE), padded is not picture)


class CutPass:
    """A `FramePass` over the frames that any of `protocols` looks at, each of them once; ends in cuts by frame."""

    name = "official faces"

    def __init__(self, detector: FindsFaces, protocols: Collection[str] = tuple(COUNTS)) -> None:
        self._detector, self._protocols = detector, protocols

    def start(self, clip: ClipInfo) -> None:
        """Choose the frames."""
        chosen = [frames_of(protocol, clip.n_frames) for protocol in self._protocols]
        self._wanted = set(np.concatenate(chosen).tolist())
        self._cuts: dict[int, FaceCut | None] = {}

    def feed(self, index: int, frame: Frame) -> None:
        """Find and cut the face of a frame that is wanted."""
        if index in self._wanted:
            self._cuts[index] = cut_face(self._detector, frame)

    def finish(self) -> dict[int, FaceCut | None]:
        """What was cut of every frame looked at, None where there was no face."""
        return self._cuts
