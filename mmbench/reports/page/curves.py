"""Per-frame curves out of the scores' details, wherever a metric stored them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmbench.metrics.base import MetricFacts
from mmbench.reports.slim import SERIES
from mmbench.runs.evaluate.rows import ItemRow

DIGITS = 4


@dataclass(frozen=True)
class FrameCurve:
    """One metric over the frames of one clip; a None value is a frame without a usable face (a gap)."""

    metric: str
    title: str
    quantity: str
    frames: tuple[int, ...]
    values: tuple[float | None, ...]


def curves_of(row: ItemRow, facts: Mapping[str, MetricFacts]) -> tuple[FrameCurve, ...]:
    """All curves of a row: details with "frames" and an equally long "similarity" or "distance".

    Anything else in the details is ignored, so rows of other versions and plug-ins never break a report.
    """
    found = []
    for score in row.scores:
        frames = score.details.get("frames")
        for key, quantity in SERIES.items():
            values = score.details.get(key)
            if (
                not isinstance(frames, list | tuple)
                or not isinstance(values, list | array)
                or len(frames) != len(values)
            ):
                continue
            points = [(frame, _number(value)) for frame, value in zip(frames, values, strict=True)]
            kept = _between_gaps(points)
            if sum(value is not None for _, value in kept) >= 2:
                title = facts[score.metric].title if score.metric in facts else score.metric
                found.append(
                    FrameCurve(score.metric, title, quantity, tuple(f for f, _ in kept), tuple(v for _, v in kept))
                )
    return tuple(found)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return round(float(value), DIGITS)


def _between_gaps(points: list[tuple[Any, float | None]]) -> list[tuple[int, float | None]]:
    """Missing slots carry frame -1: the gap is put after the frame before it, so frames never run backwards."""
    kept: list[tuple[int, float | None]] = []
    for frame, value in points:
        if isinstance(frame, int) and frame >= 0:
            kept.append((frame, value))
        elif kept and kept[-1][1] is not None:
            kept.append((kept[-1][0], None))
    return kept
