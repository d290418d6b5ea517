"""How much of this machine one untrusted file may take."""

from __future__ import annotations

from dataclasses import dataclass

from mmbench.errors import MediaError


@dataclass(frozen=True)
class MediaLimits:
    """Bounds on one video or picture; a file beyond one is refused with a MediaError before it is decoded.

    `max_side` in pixels, `max_pixels` a frame (the default holds 8K video), `max_frames` a clip (the default
    holds 20 minutes at 24 fps), `seconds` of wall time spent decoding one clip, the passes' own time not
    counted.
    """

    max_side: int = 16_384
    max_pixels: int = 8192 * 4608
    max_frames: int = 30_000
    seconds: float = 600.0

    def check_size(self, name: str, width: int, height: int) -> None:
        """Raise MediaError when a picture of this size is empty or too large."""
        if width < 1 or height < 1:
            raise MediaError(f"{name}: the pictures have no size ({width}x{height}).", "The file is damaged.")
        if max(width, height) > self.max_side or width * height > self.max_pixels:
            raise MediaError(
                f"{name}: {width}x{height} pixels is more than the limit of {self.max_pixels} pixels and "
                f"{self.max_side} a side.",
                "Scale it down first, for example with ffmpeg -vf scale=1280:-2.",
            )

    def check_frames(self, name: str, n_frames: int) -> None:
        """Raise MediaError when there is no frame or there are too many."""
        if n_frames < 1:
            raise MediaError(f"{name}: it holds no frame.", "Write the file again; it may be cut short.")
        if n_frames > self.max_frames:
            raise MediaError(
                f"{name}: {n_frames} frames is more than the limit of {self.max_frames}.",
                "Cut it to the part that is to be measured.",
            )


DEFAULT_LIMITS = MediaLimits()
