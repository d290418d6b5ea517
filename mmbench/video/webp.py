"""Animated WebP: counted and timed from its chunks, decoded by Pillow one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmbench.video.clip import Frame, Scan
from mmbench.video.image import open_image, to_rgb
from mmbench.video.limits import MediaLimits


class AnimatedWebp:
    """One .webp file; a still one counts as a clip of one frame."""

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        self.path = path
        self.limits = limits

    def scan(self) -> Scan:
        """Durations of the frames from the chunk headers, size from the picture's header."""
        steps = self._durations() or [0]
        self.limits.check_frames(str(self.path), len(steps))
        with open_image(self.path, self.limits, formats=("WEBP",)) as image:
            width, height = image.size
            self.limits.check_frame(str(self.path), width, height)
        total = sum(steps)
        times = tuple(sum(steps[:index]) / 1000 for index in range(len(steps))) if total else ()
        return Scan(len(steps), width, height, 1000 * len(steps) / total if total else 0.0, times)

    def frames(self) -> Iterator[Frame]:
        """Frames laid over each other as the animation says."""
        with open_image(self.path, self.limits, formats=("WEBP",)) as image:
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                frame = to_rgb(image)
                frame.flags.writeable = False
                yield frame

    def _durations(self) -> list[int]:
        """Milliseconds of each ANMF chunk (RIFF container specification of WebP)."""
        durations: list[int] = []
        with self.path.open("rb") as stream:
            end = min(8 + int.from_bytes(stream.read(8)[4:], "little"), self.path.stat().st_size)
            position = 12
            while position + 8 <= end:
                stream.seek(position)
                head = stream.read(8)
                if head[:4] == b"ANMF":
                    self.limits.check_samples(str(self.path), len(durations))
                    durations.append(int.from_bytes(stream.read(16)[12:15], "little"))
                length = int.from_bytes(head[4:], "little")
                position += 8 + length + length % 2
        return durations
