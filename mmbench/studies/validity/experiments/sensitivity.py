"""How much each metric moves when only the file changes: compression, resolution, frame rate, length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmbench.studies.validity.finding import Claim, Finding, Grid, Number, Observation, mean_at, pick
from mmbench.studies.validity.lab import FPS, Frames, Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import SIZE, Shot

METRICS = (
    *(
        "id_similarity",
        "id_margin",
        "id_centred",
        "similarity_decay",
        "fm_ref",
        "fm_inter",
        "fm_inter_local",
        "fm_inter_rate",
    ),
    *("face_rate", "motion_smoothness", "motion_strength", "dynamic_degree"),
)
GROUPS = {
    "crf": "Compression (x264 crf)",
    "side": "Resolution (px)",
    "fps": "Frame rate (1/s)",
    "length": "Length (frames)",
}
DENSE = 2 * FPS
"""The long clip is taken at twice the native rate, so that half and a quarter of its frames are clips as well."""


def compress(frames: Frames, crf: int, fps: float) -> Frames:
    """Frames as an H.264 file of that quality gives them back."""
    from mmbench.video.read import open_clip
    from mmbench.video.write import write_video

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, fps, crf=crf)
        return np.stack(list(open_clip(path).frames()))


def resize(frames: Frames, side: int) -> Frames:
    """Frames at `side` pixels, averaged over areas."""
    import cv2

    return np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]).astype(
        np.uint8
    )


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """One natural performance, lossless, and the same degraded in one way at a time; and each metric's useful range."""
    frames = lab.take(Shot(person, "long", 0.0, levels.long)).frames
    yield from _rows(lab, person, "lossless", 0.0, frames, DENSE)
    for crf in levels.crfs:
        yield from _rows(lab, person, "crf", crf, compress(frames, crf, DENSE), DENSE)
    for side in levels.sides:
        yield from _rows(lab, person, "side", side, resize(frames, side), DENSE)
    for stride in levels.strides:
        yield from _rows(lab, person, "fps", DENSE / stride, frames[::stride], DENSE / stride)
    for length in levels.lengths:
        yield from _rows(lab, person, "length", length, frames[:length], DENSE)
    yield from _ends(lab, person, levels)


def _rows(lab: Lab, person: str, series: str, level: float, frames: Frames, fps: float) -> Iterator[Observation]:
    scores = lab.scores(person, np.ascontiguousarray(frames), fps, flow=True)
    for metric in METRICS:
        if metric in scores:
            yield Observation(person, series, float(level), metric, scores[metric])


def _ends(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Two clips a metric should tell apart: the useful range in which a change of the file is judged."""
    views, frames = levels.views, levels.frames
    lively = 1.0 if 1.0 in levels.amplitudes else max(levels.amplitudes)
    ends = (
        (
            ("id_similarity", "id_margin", "id_centred"),
            Shot(person, "morph", 0.0, views),
            Shot(person, "morph", 1.0, views),
        ),
        (("similarity_decay",), Shot(person, "drift", 0.0, frames), Shot(person, "drift", 1.0, frames)),
        (("fm_ref",), Shot(person, "yaw", 0.0, views), Shot(person, "yaw", 45.0, views)),
        (
            ("fm_inter", "fm_inter_local", "fm_inter_rate", "motion_strength"),
            Shot(person, "mixed", 0.0, frames),
            Shot(person, "mixed", lively, frames),
        ),
    )
    for metrics, low, high in ends:
        for level, shot in ((0.0, low), (1.0, high)):
            scores = lab.scores(person, lab.take(shot).frames, flow="motion_strength" in metrics)
            for metric in metrics:
                if metric in scores:
                    yield Observation(person, "ends", level, metric, scores[metric])


def useful_range(rows: Sequence[Observation], metric: str) -> float:
    """Mean distance of a metric's two ends; 1 for shares, which have fixed ends."""
    ends = pick(rows, metric, "ends")
    return abs(mean_at(ends, 1.0) - mean_at(ends, 0.0)) if ends else 1.0


def change(rows: Sequence[Observation], metric: str, series: str, level: float) -> float | None:
    """Mean change against the lossless clip of the same person, in % of the useful range."""
    lossless = {row.person: row.value for row in pick(rows, metric, "lossless")}
    moved = [
        row.value - lossless[row.person]
        for row in pick(rows, metric, series)
        if row.level == level and row.person in lossless
    ]
    return 100 * float(np.mean(moved)) / useful_range(rows, metric) if moved else None


def _largest(
    metric: str,
    number: int,
    cells: dict[str, tuple[tuple[float | None, ...], ...]],
    columns: dict[str, tuple[float, ...]],
) -> Number:
    """The largest change of one metric, and what made it."""
    found = [
        (abs(cell), cell, f"{series} {level:g}")
        for series, levels in columns.items()
        for level, cell in zip(levels, cells[series][number], strict=True)
        if cell is not None
    ]
    if not found:
        return Number(f"{metric}: no value", float("nan"))
    _, value, what = max(found)
    return Number(f"{metric}: largest change, by {what} (% of the useful range)", value, decimals=0)


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """A table of changes a way of degrading; the worst of each metric as its number."""
    columns: dict[str, tuple[float, ...]] = {
        "crf": levels.crfs,
        "side": levels.sides,
        "fps": tuple(DENSE / s for s in levels.strides),
        "length": levels.lengths,
    }
    cells = {
        series: tuple(tuple(change(rows, metric, series, level) for level in values) for metric in METRICS)
        for series, values in columns.items()
    }
    grids = tuple(
        Grid(GROUPS[series], METRICS, tuple(f"{level:g}" for level in values), cells[series])
        for series, values in columns.items()
    )

    crf = max((level for level in levels.crfs if level <= 30), default=levels.crfs[0])
    mild = [abs(c) for m in METRICS if (c := change(rows, m, "crf", crf)) is not None]
    half = [abs(c) for m in METRICS if (c := change(rows, m, "fps", FPS)) is not None]
    shortest = min(levels.lengths)
    grows = change(rows, "fm_inter", "length", shortest) or float("nan")
    rate = change(rows, "fm_inter_rate", "length", shortest) or float("nan")
    harsh = max(levels.crfs)
    identity = change(rows, "id_centred", "crf", harsh) or 0.0
    slow = min(columns["fps"])
    strength = change(rows, "motion_strength", "fps", slow) or 0.0
    return Finding(
        name="sensitivity",
        title="Sensitivity: the same clip in another file",
        how=f"A natural performance of {levels.long} frames (taken at {DENSE:g} frames a second, {SIZE} px, "
        "lossless), degraded in one way at a "
        "time. Each cell: mean change over people in % of the metric's useful range (from a person to another "
        "one, from "
        "frontal to 45 degrees, from still to lively; shares: 0 to 1). Length: the first frames of the clip "
        "(which also show less of the performance).",
        panels=(),
        numbers=tuple(_largest(metric, number, cells, columns) for number, metric in enumerate(METRICS)),
        claims=(
            Claim(
                f"Compression to crf {crf} moves no metric by more than 15 % of its useful range.",
                max(mild) <= 15,
            ),
            Claim(
                "FMinter depends on the clip's length: the shortest clip loses more than 15 % of the useful range.",
                grows < -15,
            ),
            Claim("The rate depends on length less than fm_inter does.", abs(rate) < abs(grows)),
            Claim("Halving the frame rate to the native 8 moves no metric by more than 15 %.", max(half) <= 15),
        ),
        conclusion=f"Up to crf {crf} compression hardly matters (at most {max(mild):.0f} % of any useful "
        f"range); at crf {harsh} "
        f"id_centred changes by {identity:+.0f} %. Compare methods at one size, frame rate and length: the "
        "same motion cut to "
        f"{shortest} frames changes fm_inter by {grows:+.0f} % of its range, fm_inter_rate by {rate:+.0f} %. "
        "Below 8 frames a "
        f"second motion_strength counts longer steps ({strength:+.0f} % at {slow:g}).",
        grids=grids,
    )
