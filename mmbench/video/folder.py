"""A folder of pictures as a clip, in natural order of the names (frame_2 before frame_10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmbench.errors import MediaError
from mmbench.video.clip import Frame, Scan
from mmbench.video.endings import PICTURE_ENDINGS, is_litter, is_picture
from mmbench.video.image import open_image, to_rgb
from mmbench.video.limits import MediaLimits


class FrameFolder:
    """One folder; files that are no pictures by their ending, and hidden ones, are passed over."""

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        self.path = path
        self.limits = limits

    def scan(self) -> Scan:
        """Count the pictures; the first one gives the size. A folder says nothing about its frame rate."""
        files = frame_files(self.path)
        if not files:
            raise MediaError(
                f"{self.path}: the folder holds no picture.",
                f"Put the frames into it, in files ending in {', '.join(PICTURE_ENDINGS)}.",
            )
        self.limits.check_frames(str(self.path), len(files))
        height, width = self._read(files[0]).shape[:2]
        return Scan(len(files), width, height, 0.0, is_folder=True)

    def frames(self) -> Iterator[Frame]:
        """One picture after the other; all must have the first one's size."""
        shape: tuple[int, ...] | None = None
        for file in frame_files(self.path):
            frame = self._read(file)
            if shape not in (None, frame.shape):
                raise MediaError(
                    f"{file}: its size {frame.shape[:2]} differs from {shape[:2] if shape else None} of the first.",
                    "All frames of a clip need one size; move other pictures out of the folder.",
                )
            shape = frame.shape
            frame.flags.writeable = False
            yield frame

    def _read(self, file: Path) -> Frame:
        with open_image(file, self.limits) as image:
            self.limits.check_frame(str(file), *image.size)
            return to_rgb(image)


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order of their names."""
    files = [file for file in folder.iterdir() if is_picture(file) and not is_litter(file) and file.is_file()]
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that compares runs of digits as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return (*((0, int(part), part) if part[0].isdigit() else (1, 0, part) for part in parts), (-1, 0, name))
