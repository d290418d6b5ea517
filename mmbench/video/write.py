"""Encode frames to an H.264 file: fixed settings, the same bytes for the same frames, never half a file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MediaError
from mmbench.files import whole
from mmbench.video.clip import Frame

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}

# x264's macroblock tree reads memory right of the picture when the width is no multiple of 16: other bytes
# each time.
X264 = {"preset": "medium", "x264-params": "mbtree=0"}


def write_video(path: Path | str, frames: Iterable[Frame], fps: float, *, crf: int = 18, codec: str = "libx264") -> int:
    """Write `frames` (uint8 RGB, all (H, W, 3)) as constant-rate 4:2:0 video and return how many there were.

    One encoder thread and no time stamps or version strings in the container, so equal frames give equal
    bytes with one build of the encoder. The index stands before the pictures (a page can start playing at
    once), and colours are tagged BT.601 limited range. 4:2:0 needs even sides: an odd one is made even by
    repeating its last row or column. The file appears under its name only when it is complete. Parent folders
    are created.

    Raises MediaError when there is no frame or the name's ending is unknown, ValueError for frames of another
    dtype or shape and for an fps that is not a positive number.
    """
    target = Path(path)
    check_container(target)
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"{target}: fps must be a positive number, got {fps}")
    with whole(target) as part:
        count = _encode(part, CONTAINERS[target.suffix.lower()], frames, fps, crf, codec)
        if not count:
            raise MediaError(f"{target}: no frame was given to write.", "A video needs at least one frame.")
    return count


def check_container(path: Path) -> None:
    """Raise MediaError when `write_video` cannot write a file of that name's ending: to be asked before long work."""
    if path.suffix.lower() not in CONTAINERS:
        raise MediaError(
            f"{path}: cannot write a video with the ending {path.suffix!r}.", f"Use one of {', '.join(CONTAINERS)}."
        )


def _encode(path: Path, container: str, frames: Iterable[Frame], fps: float, crf: int, codec: str) -> int:
    import av

    # 65535 is the largest time base x264 keeps exactly; NTSC rates such as 30000/1001 survive.
    rate = Fraction(fps).limit_denominator(65535)
    muxer_options = {"fflags": "+bitexact", "movflags": "+faststart"}
    if container == "matroska":
        del muxer_options["movflags"]
    settings = {"crf": str(crf), **(X264 if codec == "libx264" else {})}
    count = 0
    with av.open(f"file:{path.absolute()}", "w", format=container, options=muxer_options) as output:
        stream: VideoStream | None = None
        shape: tuple[int, ...] = ()
        for frame in frames:
            if stream is None:
                shape = frame.shape
                stream = cast("VideoStream", output.add_stream(codec, rate=rate, options=settings))
                _set_up(stream.codec_context, shape)
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape != shape or shape[2] != 3:
                raise ValueError(f"frame {count}: expected uint8 {(*shape[:2], 3)}, got {frame.dtype} {frame.shape}")
            picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
            picture.pts = count
            output.mux(stream.encode(picture))
            count += 1
        if stream is not None:
            output.mux(stream.encode(None))
    return count


def _set_up(context: VideoCodecContext, shape: tuple[int, ...]) -> None:
    context.height, context.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    context.pix_fmt = "yuv420p"
    context.thread_count = 1
    context.color_range = 1  # limited
    context.colorspace = context.color_primaries = context.color_trc = 6  # SMPTE 170M (BT.601)


def _even(frame: Frame) -> Frame:
    """Repeat the last row and column where a side is odd."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)


def enlarge(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames (T, H, W, 3) at `size` (height, width) by bicubic interpolation; frames of that size stay as they are."""
    from PIL import Image

    if frames.shape[1:3] == size:
        return frames
    height, width = size
    pictures = (Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames)
    return np.stack([np.asarray(picture) for picture in pictures])
