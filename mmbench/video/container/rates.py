"""A container's frames per second, as OpenCV and so VBench read it, and what to say where its own facts disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from av.video.stream import VideoStream

# A rate beyond this is a time base taken for a rate.
MAX_FPS = 1000.0

# Two readings of one rate that differ by more than this share are two rates.
WARN_ABOVE = 0.05


def rate_of(stream: VideoStream, stamps: Sequence[int | None]) -> tuple[float, tuple[str, ...]]:
    """Frames a second, 0 where nothing says it, and a `variable_rate` warning where the file's own facts disagree.

    FFmpeg's average rate, which is OpenCV's, as long as the frames' own times or the track's length bear it out; else
    the mean of the times (a Matroska header may name any rate). FFmpeg's guess, the finest step between two frames,
    is the last resort: one late frame makes 120 of 8. `stamps` are in the stream's time base.
    """
    base = float(stream.time_base or 0)
    average, guess, mean = _sane(stream.average_rate), _sane(stream.guessed_rate), _mean(stamps, base)
    length = base * (stream.duration or 0)
    borne_out = [rate for rate in (mean, len(stamps) / length if length > 0 else 0.0) if rate]
    if average and (not borne_out or any(not differ(average, rate) for rate in borne_out)):
        fps, origin = average, "the average"
    elif mean:
        fps, origin = mean, "the mean of the frames' times"
    else:
        fps, origin = guess, "FFmpeg's guess"
    others = {"the header's average": average, "the finest step's rate": guess, "the mean of the times": mean}
    apart = [f"{name} is {rate:.4g}" for name, rate in others.items() if rate and differ(rate, fps)]
    if not apart:
        return fps, ()
    return fps, (f"variable_rate: measured at {origin}, {fps:.4g} frames a second; {' and '.join(apart)}.",)


def differ(one: float, other: float) -> bool:
    """Whether two rates are more than 5 % apart."""
    return abs(one - other) > WARN_ABOVE * max(one, other)


def re_timed(manifest: float | None, container: float) -> tuple[str, ...]:
    """A `rates_differ` warning where the manifest's rate is not the file's: re-encoded, or mistyped."""
    if manifest is None or not container or not differ(float(manifest), container):
        return ()
    return (
        f"rates_differ: the manifest says {float(manifest):.4g} frames a second, the file {container:.4g}; measured "
        "at the manifest's. A clip converted to another rate has other frames than were made.",
    )


def _sane(rate: Fraction | None) -> float:
    return float(rate) if rate is not None and 0 < float(rate) <= MAX_FPS else 0.0


def _mean(stamps: Sequence[int | None], base: float) -> float:
    """Frames a second from first to last time stamp; 0 for fewer than three, or where one lacks."""
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < 3 or len(known) < len(stamps):
        return 0.0
    length = base * (max(known) - min(known))
    rate = (len(known) - 1) / length if length > 0 else 0.0
    return rate if rate <= MAX_FPS else 0.0
