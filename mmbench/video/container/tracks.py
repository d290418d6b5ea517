"""Which of a file's video tracks a player shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# FFmpeg's dispositions.
DEFAULT = 0x1
ATTACHED_PICTURE = 0x400
TIMED_THUMBNAILS = 0x800
STILLS = ATTACHED_PICTURE | TIMED_THUMBNAILS


def choose(streams: Sequence[VideoStream]) -> VideoStream | None:
    """The moving track that is marked as default, the largest of several; a cover picture only where there is no other.

    The first of equals, and of those that can be decoded. FFmpeg's and players' rule; None without a track.
    """
    return max(streams, key=lambda stream: (*_rank(stream), -stream.index), default=None)


def notes(streams: Sequence[VideoStream], chosen: VideoStream) -> tuple[str, ...]:
    """A `tracks` warning where more than one moving track could have been meant."""
    moving = [stream for stream in streams if not _disposition(stream) & STILLS]
    if len(moving) < 2:
        return ()
    place = moving.index(chosen) + 1 if chosen in moving else 0
    return (
        f"tracks: the file holds {len(moving)} video tracks; number {place}, {chosen.width}x{chosen.height}, is "
        "measured, as players show it.",
    )


def _rank(stream: VideoStream) -> tuple[bool, bool, bool, int]:
    disposition = _disposition(stream)
    context: VideoCodecContext | None = stream.codec_context  # None: FFmpeg has no decoder for it
    area = context.width * context.height if context is not None else 0
    return context is not None, not disposition & STILLS, bool(disposition & DEFAULT), area


def _disposition(stream: VideoStream) -> int:
    return int(stream.disposition)
