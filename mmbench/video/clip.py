"""What is known about an opened video, and the protocol of everything that looks at its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""One picture, uint8 RGB, shape (height, width, 3)."""

FpsSource = Literal["container", "manifest", "assumed"]
VERSION = 2
"""Part of the key of every number. Raise it with any change of what is decoded, counted or timed."""

CONVERT = "Write it again, or convert it: ffmpeg -i INPUT -c:v libx264 -crf 18 output.mp4."
"""The remedy of a file that cannot be read."""


@dataclass(frozen=True)
class ClipInfo:
    """Facts of one video: exact frame count, display size in pixels, frames per second and who said so.

    `container_fps` is what VBench would read (0 for a frame folder); `fps` is the one to use.
    `is_folder` marks a folder of frames, which VBench does not subsample.
    `times` are presentation times in seconds, shape (n_frames,), from the container where it has them.
    `decoder` is who decodes it, "cpu" or "cuda": what is kept of its frames is kept for that one.
    """

    path: Path
    n_frames: int
    width: int
    height: int
    fps: float
    fps_source: FpsSource
    container_fps: float
    is_folder: bool
    sha256: str
    times: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    decoder: str = "cpu"

    @property
    def seen(self) -> str:
        """What its frames are made of: its bytes, and whoever decodes them but FFmpeg on the processor."""
        return self.sha256 if self.decoder == "cpu" else f"{self.sha256} {self.decoder}"


@dataclass(frozen=True)
class Scan:
    """What can be known of a clip before its frames are decoded; `fps` is 0 where nothing says it.

    `decoder` is who will decode them, "cpu" or "cuda".
    """

    n_frames: int
    width: int
    height: int
    fps: float
    times: tuple[float, ...] = ()
    is_folder: bool = False
    warnings: tuple[str, ...] = ()
    decoder: str = "cpu"


class Source(Protocol):
    """One input. `frames` may be called again and starts from the beginning each time."""

    def scan(self) -> Scan:
        """Count and measure; decodes at most the first frame. Raises MediaError."""

    def frames(self) -> Iterator[Frame]:
        """Every frame in order, one at a time, read-only uint8 RGB. Raises MediaError."""


FeaturesT = TypeVar("FeaturesT", covariant=True)


class FramePass(Protocol[FeaturesT]):
    """Something that looks at every frame once. One decode feeds all passes; none may keep all frames."""

    name: str

    def start(self, clip: ClipInfo) -> None:
        """Called once, before the first frame; `clip.n_frames` is exact."""

    def feed(self, index: int, frame: Frame) -> None:
        """Called for index 0..n_frames-1 in order. The array is not to be written to."""

    def finish(self) -> FeaturesT:
        """Called once, after the last frame."""
