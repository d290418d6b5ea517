"""mp4, mov, webm, mkv, avi, mpeg, ts and gif, through FFmpeg: packets counted first, frames decoded one at a time."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbench.device import kind_and_index
from mmbench.errors import MediaError
from mmbench.video.clip import CONVERT, Frame, Scan
from mmbench.video.container import rates, shown, tracks
from mmbench.video.container.decoder import CPU, EXACT, accelerator_of
from mmbench.video.container.index import listed_samples
from mmbench.video.image import SCAN
from mmbench.video.limits import MediaLimits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class Container:
    """One container file, opened with the demuxer its first bytes call for and no other.

    `decode` is who decodes its frames ("cpu", "cuda", "cuda:1"; `mmbench.video.container.decoder`). A GPU whose first
    frame is not the processor's to the bit is told in a warning and not used.
    """

    def __init__(self, path: Path, demuxer: str, limits: MediaLimits, decode: str = CPU) -> None:
        self.path = path
        self.demuxer = demuxer
        self.limits = limits
        self.decode = decode

    def scan(self) -> Scan:
        """Count packets, read sizes and rates, decode the first frame for its upright size."""
        from av.video.reformatter import VideoReformatter

        started = time.monotonic()
        with self._open() as (container, stream):
            stamps: list[int | None] = []
            base = float(stream.time_base or 0)
            codec = stream.codec_context.name
            drawn = codec == "mjpeg"
            for seen, packet in enumerate(container.demux(stream)):
                self.limits.check_samples(str(self.path), seen)
                self.limits.check_time(str(self.path), time.monotonic() - started)
                if drawn:
                    self.limits.check_scans(str(self.path), bytes(packet).count(SCAN))
                if not packet.size or packet.is_discard:
                    continue
                stamps.append(packet.pts if packet.pts is not None else packet.dts)
                self.limits.check_frames(str(self.path), len(stamps))
            self.limits.check_frames(str(self.path), len(stamps))
            fps, notes = rates.rate_of(stream, stamps)
            notes = (*tracks.notes(container.streams.video, stream), *notes)
            ratio = float(stream.sample_aspect_ratio or 1)
        times = tuple(base * stamp for stamp in _in_order(stamps))
        first, transfer = self._first()
        if first is None:
            raise MediaError(f"{self.path}: it holds no frame that can be decoded.", CONVERT)
        pixels = shown.pixels(first, VideoReformatter(), shown.display_matrix(first))
        height, width = pixels.shape[:2]
        said = (*notes, *_warnings(ratio, times), *shown.notes(first, transfer), *self._choose(codec, pixels))
        return Scan(len(stamps), width, height, fps, times, warnings=said, decoder=kind_and_index(self.decode)[0])

    def frames(self) -> Generator[Frame, None, None]:
        """Decode with one thread, so that memory and results are the same everywhere."""
        from av.video.reformatter import VideoReformatter

        with self._open(self.decode) as (container, stream):
            reformatter, upright = VideoReformatter(), shown.Upright()
            shape: tuple[int, ...] | None = None
            for picture in container.decode(stream):
                self._check(picture)
                frame = shown.pixels(picture, reformatter, upright.matrix(picture))
                if shape not in (None, frame.shape):
                    raise MediaError(
                        f"{self.path}: the frame size changes from {shape} to {frame.shape} within the clip.",
                        "Split it, or scale all of it to one size.",
                    )
                shape = frame.shape
                yield frame

    def _first(self) -> tuple[VideoFrame | None, int]:
        """The first picture and, known once it is decoded, the stream's transfer characteristics."""
        with self._open() as (container, stream):
            picture = next(container.decode(stream), None)
            if picture is not None:
                self._check(picture)
            return picture, int(stream.codec_context.color_trc or 0)

    def _choose(self, codec: str, first: Frame) -> tuple[str, ...]:
        """Leave the decoding to the processor where a GPU's would not give its pixels, and say why."""
        if self.decode == CPU or (why := self._unlike(codec, first)) is None:
            return ()
        said = f"decoder: {self.decode} {why}; the processor decodes this clip."
        self.decode = CPU
        return (said,)

    def _unlike(self, codec: str, first: Frame) -> str | None:
        """Why the GPU does not decode this clip as the processor does; None where its first frame is the same."""
        if codec not in EXACT:
            return f"is not asked for {codec}"
        try:
            with closing(self.frames()) as frames:
                other = next(frames, None)
        except MediaError as error:
            return f"does not take it ({error.message.removeprefix(f'{self.path}: ').rstrip('.')})"
        return None if other is not None and np.array_equal(other, first) else "gives another first frame"

    def _check(self, picture: VideoFrame) -> None:
        if picture.is_corrupt:
            raise MediaError(f"{self.path}: the decoder reports a damaged frame.", CONVERT)
        self.limits.check_frame(str(self.path), picture.width, picture.height)

    @contextmanager
    def _open(self, decode: str = CPU) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The opened file and the track a player would show; FFmpeg's errors become one MediaError each."""
        import av
        import av.error

        if self.demuxer == "gif":  # beyond its own bound FFmpeg tells no size
            with self.path.open("rb") as head:
                self.limits.check_frame(str(self.path), *struct.unpack("<6xHH", head.read(10).ljust(10, b"\0")))
        # FFmpeg holds a container's whole index in memory as soon as it opens it.
        self.limits.check_samples(str(self.path), listed_samples(self.path, self.demuxer))
        # The limit also binds the decoders that FFmpeg runs on its own to find out what a stream is.
        options = {"max_pixels": str(self.limits.max_pixels), "protocol_whitelist": "file"}
        try:
            with av.open(
                f"file:{Path(fspath(self.path)).absolute()}",
                format=self.demuxer,
                options=options,
                metadata_errors="replace",
                hwaccel=accelerator_of(decode),
            ) as container:
                stream = tracks.choose(container.streams.video)
                if stream is None:
                    raise MediaError(f"{self.path}: it holds no video stream.", CONVERT)
                context: VideoCodecContext | None = stream.codec_context
                if context is None:
                    raise MediaError(f"{self.path}: FFmpeg knows no decoder for its video stream.", CONVERT)
                self.limits.check_frame(str(self.path), context.width, context.height)
                context.thread_count = 1
                context.options = {"max_pixels": options["max_pixels"], "err_detect": "explode"}
                yield container, stream
        except av.error.FFmpegError as error:
            raise MediaError(f"{self.path}: it cannot be decoded ({error.strerror}).", CONVERT) from error


def _in_order(stamps: list[int | None]) -> list[int]:
    """Presentation times from the first, rising; none where a frame has none."""
    ordered = sorted(stamp for stamp in stamps if stamp is not None)
    return [stamp - ordered[0] for stamp in ordered] if len(ordered) == len(stamps) else []


def _warnings(pixel_ratio: float, times: tuple[float, ...]) -> tuple[str, ...]:
    found = []
    if not math.isclose(pixel_ratio, 1.0, rel_tol=0.01):
        found.append(f"pixel_aspect: pixels are {pixel_ratio:.3f} times as wide as high; measured as stored.")
    steps = np.diff(np.asarray(times))
    if len(steps) > 1 and steps.max() > 1.5 * max(float(np.median(steps)), 1e-9):
        found.append("uneven_times: the frames are not evenly spaced in time; metrics count frames.")
    return tuple(found)
