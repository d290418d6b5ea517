"""Open, probe and decode a clip: one streamed decode feeds every pass, in memory that does not grow with the clip."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError, MediaError
from mmbench.files import sha256, sha256_file
from mmbench.remote.path import path_of
from mmbench.video.ahead import FramesAhead, Room
from mmbench.video.clip import CONVERT, ClipInfo, FpsSource, Frame, FramePass, Scan, Source
from mmbench.video.container.decoder import CPU
from mmbench.video.container.rates import re_timed
from mmbench.video.folder import frame_files
from mmbench.video.limits import DEFAULT_LIMITS, MediaLimits
from mmbench.video.source import open_source

ASSUMED_FPS = 8.0
"""Frames per second of a clip that does not say: the rate of the models under test, and VBench's nominal one."""


@dataclass(frozen=True)
class Clip:
    """An opened clip: `info` is known, frames come on demand, each call of `frames` is one decode.

    Frames wait in `room`, one of its own where there is none. `begun` is a decode that was begun before anybody asked:
    the first call of `frames` goes on with it.
    """

    info: ClipInfo
    source: Source
    limits: MediaLimits = DEFAULT_LIMITS
    room: Room | None = None
    begun: list[FramesAhead] = field(default_factory=list, compare=False, repr=False)

    def frames(self) -> Generator[Frame, None, None]:
        """Every frame in order, (H, W, 3) uint8 RGB, read-only. Raises MediaError on damage or past the time
        limit."""
        ahead = self.begun.pop() if self.begun else FramesAhead(self.source.frames(), self.room)
        return stream_frames(ahead, self.info.path, self.limits)

    def decode(self, passes: Sequence[FramePass[Any]]) -> ClipInfo:
        """Feed all passes from one decode; the caller calls their `finish`. See
        `mmbench.video.read.decode`."""
        count = _feed(self, self.info, passes)
        if count == self.info.n_frames:
            return self.info
        self.limits.check_frames(str(self.info.path), count)
        note = f"frame_count: the container announces {self.info.n_frames} frames, {count} can be decoded."
        info = replace(self.info, n_frames=count, times=self.info.times[:count], warnings=(*self.info.warnings, note))
        if _feed(self, info, passes) != count:
            raise MediaError(f"{info.path}: two decodes give different numbers of frames.", CONVERT)
        return info


def open_clip(
    path: Path | str,
    fps: float | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
    room: Room | None = None,
    decode: str = CPU,
) -> Clip:
    """Recognise, measure and hash a clip: a file (mp4, mov, webm, mkv, avi, gif, webp) or a folder of pictures.

    `fps` is what the manifest says; it overrides the container, which overrides the assumed 8. `decode` is who decodes
    ("cpu", "cuda", "cuda:1"): the same pixels either way (`mmbench.video.container.decoder`). Raises MediaError naming
    the file, the cause and the remedy, ManifestError for an `fps` that is not a positive number.
    """
    file = path_of(path)
    check_rate(str(file), fps)
    source = open_source(file, limits, decode)
    scan = source.scan()
    limits.check_clip(str(file), scan.n_frames, scan.width, scan.height, size_of(file))
    rate, origin = choose_rate(fps, scan.fps)
    info = ClipInfo(
        path=file,
        n_frames=scan.n_frames,
        width=scan.width,
        height=scan.height,
        fps=rate,
        fps_source=origin,
        container_fps=scan.fps,
        is_folder=scan.is_folder,
        sha256=content_digest(file, limits),
        times=scan.times,
        warnings=(*_warnings(scan, origin), *re_timed(fps, scan.fps)),
        decoder=scan.decoder,
    )
    return Clip(info, source, limits, room)


def probe(path: Path | str, fps: float | None = None, limits: MediaLimits = DEFAULT_LIMITS) -> ClipInfo:
    """Facts of a clip without decoding more than its first frame; raises as `open_clip`."""
    return open_clip(path, fps, limits).info


def decode(
    path: Path | str,
    passes: Sequence[FramePass[Any]],
    fps: float | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> ClipInfo:
    """Start all passes and feed them every frame of a clip from one decode; the caller calls their `finish`.

    The frame count given to `start` comes from counting packets. Should the decoder disagree, the passes are
    started again with the count it gave, and the returned facts carry that count and a `frame_count` warning.
    Raises as `open_clip`.
    """
    return open_clip(path, fps, limits).decode(passes)


def stream_frames(ahead: FramesAhead, path: Path, limits: MediaLimits) -> Generator[Frame, None, None]:
    """One decode, ahead of who asks, its time limited: its own, and with what is done between two frames.

    Closing the iterator ends the decode.
    """
    spent, started = 0.0, time.monotonic()
    with ahead as frames:
        for frame, seconds in frames:
            spent += seconds
            limits.check_time(str(path), spent, time.monotonic() - started)
            yield frame


def check_rate(name: str, fps: float | None) -> None:
    """Raise ManifestError, naming the clip, for a rate that is given and is no positive number."""
    try:
        positive = fps is None or (math.isfinite(fps) and fps > 0)
    except (TypeError, ValueError, OverflowError):  # a text, a list, an integer beyond any float
        positive = False
    if not positive:
        said = repr(fps) if isinstance(fps, str) else str(fps)[:60]
        raise ManifestError(f"{name}: fps must be a positive number, got {said}.", "Correct it in the manifest.")


def choose_rate(manifest: float | None, container: float) -> tuple[float, FpsSource]:
    """Frames per second and who said so: the manifest, else the container, else the assumed 8."""
    if manifest is not None:
        return float(manifest), "manifest"
    if container > 0:
        return container, "container"
    return ASSUMED_FPS, "assumed"


def size_of(path: Path) -> int:
    """Bytes of a file, of a folder's pictures together."""
    return sum(picture.stat().st_size for picture in frame_files(path)) if path.is_dir() else path.stat().st_size


def content_digest(path: Path | str, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    """sha256 of a file's bytes; of a folder, of the names and bytes of its pictures in clip order.

    Raises MediaError, before anything is read, for what never ends (a pipe, a device) or is larger than `limits`.
    """
    file = path_of(path)
    if not file.is_dir():
        limits.check_file(file)
        return sha256_file(file)
    pictures = frame_files(file)
    names = (picture.name.encode("utf-8", "surrogateescape") for picture in pictures)
    limits.check_frames(str(file), max(1, len(pictures)))
    for picture in pictures:
        limits.check_file(picture)
    inner = (bytes.fromhex(sha256_file(picture)) for picture in pictures)
    return sha256(b"".join(name + b"\0" + digest for name, digest in zip(names, inner, strict=True)))


def _feed(clip: Clip, info: ClipInfo, passes: Sequence[FramePass[Any]]) -> int:
    """Number of frames the decoder gives; the passes see at most the announced ones."""
    for each in passes:
        each.start(info)
    count = 0
    with closing(clip.frames()) as frames:
        for frame in frames:
            if count < info.n_frames:
                for each in passes:
                    each.feed(count, frame)
            count += 1
    return count


def _warnings(scan: Scan, origin: FpsSource) -> tuple[str, ...]:
    if origin != "assumed":
        return scan.warnings
    note = f"assumed_fps: the clip does not say its frame rate; {ASSUMED_FPS:g} is assumed. Name it in the manifest."
    return (*scan.warnings, note)
