"""How much of this machine one untrusted file may take, in memory and in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import MediaError

RAISE = "or, if you trust the file, raise {} in the settings and measure again."

SMALL_CLIP = 64_000_000
"""Pixels of all frames of a clip up to which `max_pixels_per_byte` does not matter: still and black clips are small."""

SAMPLES = 30
"""Times `max_frames`: samples of all tracks of a container together, sound and subtitles included."""


@dataclass(frozen=True)
class MediaLimits:
    """Bounds on one video or picture; a file beyond one is refused with a MediaError that names the bound.

    `max_bytes` of a file. `max_side` and `max_pixels` of a picture, `max_scans` of a progressive one (each takes the
    time of a whole picture). `max_frame_pixels` of a frame (4K), `max_frames` of a clip (20 minutes at 24 fps),
    `max_clip_pixels` of all its frames (8 minutes of 480p, 80 s of 1080p), and `max_pixels_per_byte` of the file for
    clips of more than 64 million pixels: a few bytes that unfold to hours of work. `seconds` of wall time spent
    decoding, `clip_seconds` decoding and measuring together. `memory` in bytes that one network may take for one clip.
    """

    max_bytes: int = 4 * 2**30
    max_side: int = 16_384
    max_pixels: int = 8192 * 4608
    max_scans: int = 100
    max_frame_pixels: int = 4096 * 2304
    max_frames: int = 30_000
    max_clip_pixels: int = 4_000_000_000
    max_pixels_per_byte: int = 50_000
    seconds: float = 600.0
    clip_seconds: float = 7200.0
    memory: int = 8 * 2**30

    def check_size(self, name: str, width: int, height: int) -> None:
        """Raise MediaError when a picture of this size is empty or too large."""
        self._check_size(name, width, height, self.max_pixels, "max_pixels")

    def check_frame(self, name: str, width: int, height: int) -> None:
        """Raise MediaError when a frame of this size is empty or too large."""
        self._check_size(name, width, height, min(self.max_pixels, self.max_frame_pixels), "max_frame_pixels")

    def check_frames(self, name: str, n_frames: int) -> None:
        """Raise MediaError when there is no frame or there are too many."""
        if n_frames < 1:
            raise MediaError(f"{name}: it holds no frame.", "Write the file again; it may be cut short.")
        if n_frames > self.max_frames:
            raise MediaError(
                f"{name}: {n_frames} frames is more than the limit of {self.max_frames} (limits.max_frames).",
                f"Cut it to the part that is to be measured, {RAISE.format('limits.max_frames')}",
            )

    def check_clip(self, name: str, n_frames: int, width: int, height: int, n_bytes: int) -> None:
        """Raise MediaError when all frames together are too much, or too much for so small a file."""
        pixels = n_frames * width * height
        what = f"{name}: {n_frames} frames of {width}x{height} are {pixels / 1e6:.0f} million pixels"
        if pixels > self.max_clip_pixels:
            raise MediaError(
                f"{what}, more than the limit of {self.max_clip_pixels / 1e6:.0f} million (limits.max_clip_pixels).",
                f"Cut or scale it, {RAISE.format('limits.max_clip_pixels')}",
            )
        if pixels > max(SMALL_CLIP, self.max_pixels_per_byte * n_bytes):
            raise MediaError(
                f"{what} out of {n_bytes} bytes, more than {self.max_pixels_per_byte} a byte "
                "(limits.max_pixels_per_byte).",
                f"Files made to exhaust a machine look so. Cut it, {RAISE.format('limits.max_pixels_per_byte')}",
            )

    def check_samples(self, name: str, samples: int) -> None:
        """Raise MediaError when a container lists more samples than the tracks of any clip within `max_frames`."""
        if samples > SAMPLES * self.max_frames:
            raise MediaError(
                f"{name}: its index lists {samples} samples, more than the limit of {SAMPLES * self.max_frames}.",
                f"Cut it to the part that is to be measured, {RAISE.format('limits.max_frames')}",
            )

    def check_scans(self, name: str, scans: int) -> None:
        """Raise MediaError when a progressive picture is drawn over too often."""
        if scans > self.max_scans:
            raise MediaError(
                f"{name}: a picture in more than {self.max_scans} scans (limits.max_scans).",
                f"Write it again as a plain picture, {RAISE.format('limits.max_scans')}",
            )

    def check_time(self, name: str, decoding: float, together: float = 0.0) -> None:
        """Raise MediaError when decoding, or decoding and measuring together, has taken too many seconds."""
        if decoding > self.seconds:
            raise MediaError(
                f"{name}: decoding takes more than {self.seconds:g} s (limits.seconds).",
                f"Cut or scale the clip, {RAISE.format('limits.seconds')}",
            )
        if together > self.clip_seconds:
            raise MediaError(
                f"{name}: decoding and measuring take more than {self.clip_seconds:g} s (limits.clip_seconds).",
                f"Cut or scale the clip, {RAISE.format('limits.clip_seconds')}",
            )

    def check_file(self, path: Path) -> int:
        """Bytes of a regular file. Raises MediaError for one too big and anything else: a pipe, a device never end."""
        if not path.is_file():
            what = "it is no regular file" if path.exists() else "there is no such file or folder"
            raise MediaError(f"{path}: {what}.", "Check the path in the manifest or on the command line.")
        size = path.stat().st_size
        if size > self.max_bytes:
            raise MediaError(
                f"{path}: {size} bytes is more than the limit of {self.max_bytes} (limits.max_bytes).",
                f"Cut it, {RAISE.format('limits.max_bytes')}",
            )
        return size

    def _check_size(self, name: str, width: int, height: int, most: int, setting: str) -> None:
        if width < 1 or height < 1:
            raise MediaError(
                f"{name}: the pictures have no size ({width}x{height}).",
                "The file is damaged, or larger than any limit.",
            )
        if max(width, height) > self.max_side or width * height > most:
            raise MediaError(
                f"{name}: {width}x{height} pixels is more than the limit of {most} pixels (limits.{setting}) and "
                f"{self.max_side} a side.",
                "Scale it down first, for example with ffmpeg -vf scale=1280:-2.",
            )


DEFAULT_LIMITS = MediaLimits()
