from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mmbench.video.clip import Frame
from mmbench.video.write import write_video

WIDTH, HEIGHT, COUNT = 96, 64, 20


class Collect:
    """A pass that keeps what it was given."""

    name = "collect"

    def __init__(self) -> None:
        self.starts = 0

    def start(self, clip):
        self.clip = clip
        self.starts += 1
        self.frames: list[Frame] = []
        self.indices: list[int] = []

    def feed(self, index, frame):
        self.indices.append(index)
        self.frames.append(frame)

    def finish(self):
        return self.frames


@pytest.fixture
def collect() -> Collect:
    return Collect()


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    """A drawn clip: soft coloured blobs, the whole scene sliding right."""
    y, x = np.mgrid[:HEIGHT, : WIDTH + 3 * COUNT]
    channels = [127 + 120 * np.sin(x / a + y / b) for a, b in ((9, 15), (14, 8), (21, 11))]
    scene = np.stack(channels, axis=-1).astype(np.uint8)
    return [np.ascontiguousarray(scene[:, 3 * i : 3 * i + WIDTH]) for i in range(COUNT)]


def encode(path: Path, frames: list[Frame], codec: str, pix_fmt: str, rate: int = 16, **options: str) -> Path:
    """Write with any codec PyAV brings."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def animate(path: Path, frames: list[Frame], **options) -> Path:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)
    return path


def folder(path: Path, frames: list[Frame]) -> Path:
    path.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame_{index}.png")
    return path


def turned(path: Path, original: Path, degrees: int) -> Path:
    """The same stream with a display matrix, as telephones write it."""
    with av.open(str(original)) as source, av.open(str(path), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        copy.set_display_rotation(degrees)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    return path


MAKERS: dict[str, Callable[[Path, list[Frame]], object]] = {
    "h264.mp4": lambda path, frames: write_video(path, frames, 16),
    "UPPER.MP4": lambda path, frames: encode(path.with_suffix(".mp4"), frames, "libx264", "yuv420p").rename(path),
    "h264.mov": lambda path, frames: write_video(path, frames, 16),
    "h264.mkv": lambda path, frames: write_video(path, frames, 16),
    "vp8.webm": lambda path, frames: encode(path, frames, "libvpx", "yuv420p", crf="8", b="2M"),
    "vp9.webm": lambda path, frames: encode(path, frames, "libvpx-vp9", "yuv420p", crf="8", b="2M"),
    "mpeg4.avi": lambda path, frames: encode(path, frames, "mpeg4", "yuv420p", qscale="2"),
    "mjpeg.avi": lambda path, frames: encode(path, frames, "mjpeg", "yuvj420p", qscale="2"),
    "plain.gif": lambda path, frames: animate(path, frames, duration=60),
    "moving.webp": lambda path, frames: animate(path, frames, duration=62, lossless=True),
    "folder": folder,
}


@pytest.fixture(scope="session")
def media(tmp_path_factory, frames) -> dict[str, Path]:
    """The drawn clip in every kind of file the reader takes."""
    root = tmp_path_factory.mktemp("media")
    for name, make in MAKERS.items():
        make(root / name, frames)
    return {name: root / name for name in MAKERS}


@pytest.fixture(scope="session")
def turn() -> Callable[[Path, Path, int], Path]:
    return turned
