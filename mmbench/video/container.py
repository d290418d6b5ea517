"""mp4, mov, webm, mkv, avi and gif, through FFmpeg: packets counted first, frames decoded one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbench.errors import MediaError
from mmbench.video.clip import CONVERT, Frame, Scan
from mmbench.video.limits import MediaLimits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# A rate beyond this is a time base taken for a rate.
MAX_FPS = 1000.0


class Container:
    """One container file, opened with the demuxer its first bytes call for and no other."""

    def __init__(self, path: Path, demuxer: str, limits: MediaLimits) -> None:
        self.path = path
        self.demuxer = demuxer
        self.limits = limits

    def scan(self) -> Scan:
        """Count packets, read sizes and rates, decode the first frame for its upright size."""
        with self._open() as (container, stream):
            stamps: list[int] = []
            base = float(stream.time_base or 0)
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                stamp = packet.pts if packet.pts is not None else packet.dts
                stamps.append(stamp if stamp is not None else len(stamps))
                self.limits.check_frames(str(self.path), len(stamps))
            self.limits.check_frames(str(self.path), len(stamps))
            fps = _rate(stream)
            ratio = float(stream.sample_aspect_ratio or 1)
        times = tuple(base * stamp for stamp in _in_order(stamps))
        first = next(self.frames(), None)
        if first is None:
            raise MediaError(f"{self.path}: it holds no frame that can be decoded.", CONVERT)
        height, width = first.shape[:2]
        return Scan(len(stamps), width, height, fps, times, warnings=_warnings(ratio, times))

    def frames(self) -> Iterator[Frame]:
        """Decode with one thread, so that memory and results are the same everywhere."""
        from av.video.reformatter import VideoReformatter

        with self._open() as (container, stream):
            reformatter = VideoReformatter()
            shape: tuple[int, ...] | None = None
            for picture in container.decode(stream):
                if picture.is_corrupt:
                    raise MediaError(f"{self.path}: the decoder reports a damaged frame.", CONVERT)
                self.limits.check_size(str(self.path), picture.width, picture.height)
                frame = _upright(picture, reformatter)
                if shape not in (None, frame.shape):
                    raise MediaError(
                        f"{self.path}: the frame size changes from {shape} to {frame.shape} within the clip.",
                        "Split it, or scale all of it to one size.",
                    )
                shape = frame.shape
                yield frame

    @contextmanager
    def _open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The opened file and its first video stream; FFmpeg's errors become one MediaError each."""
        import av
        import av.error

        # The limit also binds the decoders that FFmpeg runs on its own to find out what a stream is.
        options = {"max_pixels": str(self.limits.max_pixels), "protocol_whitelist": "file"}
        try:
            with av.open(
                f"file:{self.path.absolute()}",
                format=self.demuxer,
                options=options,
                metadata_errors="replace",
            ) as container:
                if not container.streams.video:
                    raise MediaError(f"{self.path}: it holds no video stream.", CONVERT)
                stream = container.streams.video[0]
                context: VideoCodecContext | None = stream.codec_context
                if context is None:
                    raise MediaError(f"{self.path}: FFmpeg knows no decoder for its video stream.", CONVERT)
                self.limits.check_size(str(self.path), context.width, context.height)
                context.thread_count = 1
                context.options = {"max_pixels": options["max_pixels"], "err_detect": "explode"}
                yield container, stream
        except av.error.FFmpegError as error:
            raise MediaError(f"{self.path}: it cannot be decoded ({error.strerror}).", CONVERT) from error


def _upright(picture: VideoFrame, reformatter: VideoReformatter) -> Frame:
    """RGB pixels as a player shows them: the container's quarter turns applied."""
    pixels = np.asarray(reformatter.reformat(picture, format="rgb24").to_ndarray(), dtype=np.uint8)
    turns = round(picture.rotation / 90) % 4
    frame = np.ascontiguousarray(np.rot90(pixels, turns))
    frame.flags.writeable = False
    return frame


def _rate(stream: VideoStream) -> float:
    """The rate OpenCV, and so VBench, would read; the mean rate where that one is absurd; else 0."""
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate is not None and 0 < float(rate) <= MAX_FPS:
            return float(rate)
    return 0.0


def _in_order(stamps: list[int]) -> list[int]:
    ordered = sorted(stamps)
    return [stamp - ordered[0] for stamp in ordered]


def _warnings(pixel_ratio: float, times: tuple[float, ...]) -> tuple[str, ...]:
    found = []
    if not math.isclose(pixel_ratio, 1.0, rel_tol=0.01):
        found.append(f"pixel_aspect: pixels are {pixel_ratio:.3f} times as wide as high; measured as stored.")
    steps = np.diff(np.asarray(times))
    if len(steps) > 1 and steps.max() > 1.5 * max(float(np.median(steps)), 1e-9):
        found.append("uneven_times: the frames are not evenly spaced in time; metrics count frames.")
    return tuple(found)
