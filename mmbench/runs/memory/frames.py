"""Frames as callers hold them (numpy, torch, PIL, a path) as a clip that every metric can look at."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MediaError
from mmbench.items import is_picture
from mmbench.video.clip import ClipInfo, Frame, Scan
from mmbench.video.container.decoder import CPU
from mmbench.video.limits import DEFAULT_LIMITS, MediaLimits
from mmbench.video.read import Clip, check_rate, choose_rate, open_clip

NAME: Final = "frames in memory"
SLACK: Final = 1e-3
"""How far floats may lie outside [0, 1]: what resizing and bfloat16 leave."""
LAYOUTS: Final = "(T, H, W, 3) or (T, 3, H, W)"


class MemorySource:
    """Frames (T, H, W, 3) uint8 as an input like a file."""

    def __init__(self, frames: NDArray[np.uint8], fps: float) -> None:
        self._frames, self._fps = frames, fps

    def scan(self) -> Scan:
        """Counted and measured."""
        count, height, width, _ = self._frames.shape
        return Scan(count, width, height, self._fps)

    def frames(self) -> Iterator[Frame]:
        """Every frame in order, read-only."""
        for frame in self._frames:
            frame.flags.writeable = False
            yield frame


def open_frames(frames: Any, fps: float | None = None, limits: MediaLimits = DEFAULT_LIMITS, decode: str = CPU) -> Clip:
    """The clip of a path, or of frames in memory at `fps` (None: the file's own, or the assumed 8).

    `decode` is who decodes a file, as for `mmbench.video.read.open_clip`.

    A clip in memory is known by a sha256 of its pixels, so that what was found of it is found again.
    Raises MediaError, ManifestError for a rate that is none.
    """
    if isinstance(frames, str | os.PathLike):
        return open_clip(Path(frames), fps, limits, decode=decode)
    check_rate(NAME, fps)
    pixels = to_frames(frames)
    count, height, width, _ = pixels.shape
    limits.check_clip(NAME, count, width, height, pixels.nbytes)
    rate, origin = choose_rate(fps, 0.0)
    info = ClipInfo(
        path=Path(NAME),
        n_frames=count,
        width=width,
        height=height,
        fps=rate,
        fps_source=origin,
        container_fps=rate,
        is_folder=False,
        sha256=digest(pixels),
    )
    return Clip(info, MemorySource(pixels, rate), limits)


def digest(pixels: NDArray[np.uint8]) -> str:
    """sha256 of frames and their shape."""
    held = hashlib.sha256(repr(("frames", pixels.shape)).encode())
    held.update(np.ascontiguousarray(pixels).data)
    return held.hexdigest()


def to_frames(frames: Any) -> NDArray[np.uint8]:
    """Frames as uint8 RGB (T, H, W, 3), in memory of its own where anything had to be changed.

    Takes numpy and torch arrays of any device in (T, H, W, 3) or (T, 3, H, W), with a leading batch of one too: uint8,
    or floats in [0, 1] (rounded to 255 levels, as a video is written); or a sequence of PIL pictures or single frames.
    Raises MediaError, naming shape and range, for anything else, and where both layouts fit.
    """
    if not hasattr(frames, "shape"):
        frames = _stacked(frames)
    array = _numpy(frames)
    if array.ndim == 5 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 4 or not array.size:
        raise MediaError(f"{NAME}: they have the shape {array.shape}.", f"Give one clip as {LAYOUTS}.")
    return _levels(_channels_last(array))


def to_picture(value: Any) -> Any:
    """A picture in memory as a PIL picture: numpy or torch, (H, W, 3) or (3, H, W), of the values that frames have.

    Paths and PIL pictures are given back as they are. Raises MediaError for what is none of these.
    """
    if isinstance(value, str | os.PathLike) or is_picture(value):
        return value
    if not hasattr(value, "shape"):
        raise MediaError(f"A picture cannot be a {type(value).__name__}.", "Give a path, a PIL picture or an array.")
    from PIL import Image

    return Image.fromarray(to_frames([value])[0])


def _stacked(frames: Any) -> Any:
    if not isinstance(frames, Sequence) or isinstance(frames, bytes | bytearray) or not len(frames):
        raise MediaError(f"{NAME}: {type(frames).__name__} is no clip.", f"Give {LAYOUTS}, pictures, or a path.")
    single = [_one(frame) for frame in frames]
    if len({frame.shape for frame in single}) > 1:
        raise MediaError(f"{NAME}: they differ in size.", "Give frames of one size.")
    return np.stack(single)


def _one(frame: Any) -> NDArray[Any]:
    if is_picture(frame):
        from mmbench.video.image import to_rgb

        return to_rgb(frame)
    if isinstance(frame, str | os.PathLike):
        raise MediaError(f"{NAME}: a frame is the path {frame}.", "Give the folder they lie in, or pictures opened.")
    array = _numpy(frame)
    if array.ndim != 3:
        raise MediaError(f"{NAME}: a frame has the shape {array.shape}.", "Give (H, W, 3) or (3, H, W).")
    return array


def _numpy(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # torch, which need not be imported to know it
        try:
            value = value.detach().cpu()
            value = value.float() if value.dtype.is_floating_point else value  # numpy knows neither bfloat16 nor float8
            return np.asarray(value.numpy())
        except (TypeError, ValueError, RuntimeError) as cause:  # sparse, quantised, nested, or without any data
            raise MediaError(
                f"{NAME}: a tensor cannot be read ({cause}).", f"Give a dense one, as {LAYOUTS}."
            ) from cause
    return np.asarray(value)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    last, second = array.shape[-1] == 3, array.shape[1] == 3
    if last and second and array.shape[2] != 3:
        raise MediaError(
            f"{NAME}: the shape {array.shape} can be read in two ways.", "Permute them to (T, H, W, 3) with H above 3."
        )
    if last:
        return array
    if second:
        return array.transpose(0, 2, 3, 1)
    remedy = (
        "Put frames first, from (3, T, H, W) by permute(1, 0, 2, 3)." if array.shape[0] == 3 else f"RGB: {LAYOUTS}."
    )
    raise MediaError(f"{NAME}: the shape {array.shape} has no three colours.", remedy)


def _levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise MediaError(f"{NAME}: they are of type {array.dtype}.", "Give uint8, or floats in [0, 1].")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < -SLACK or high > 1 + SLACK:
        raise MediaError(
            f"{NAME}: floats from {low:g} to {high:g}.", "Give them in [0, 1]; from [-1, 1] by x / 2 + 0.5."
        )
    return np.asarray((array.astype(np.float32).clip(0, 1) * 255).round(), np.uint8)
