"""A clip whose decoded frames are all the same, bit for bit: the zero of every measure of motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.files import whole

Picture = NDArray[np.uint8]

# Predicted frames are quantised so coarsely (45) that the encoder finds nothing to add to the first one (25).
_X264 = "qp=45:ipratio=10:bframes=0:scenecut=0"


def _encode(path: Path, image: Picture, count: int, fps: int) -> None:
    import av

    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as output:
        stream = output.add_stream("libx264", rate=fps, options={"preset": "medium", "x264-params": _X264})
        context = stream.codec_context
        context.height, context.width = image.shape[:2]
        context.pix_fmt = "yuv420p"
        context.thread_count = 1
        context.color_range = 1
        context.colorspace = context.color_primaries = context.color_trc = 6
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = k
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def decoded(path: Path) -> list[Picture]:
    """All frames, uint8 RGB."""
    import av

    with av.open(str(path)) as source:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in source.decode(video=0)]


def write_still(path: Path, image: Picture, count: int, fps: int) -> None:
    """One picture `count` times over, H.264. Raises ValueError should any decoded frame differ from the first."""
    with whole(path) as part:
        _encode(part, image, count, fps)
        frames = decoded(part)
        if len(frames) != count or not all(np.array_equal(frame, frames[0]) for frame in frames):
            raise ValueError(f"{path}: the repeated frame is not repeated exactly")
