"""FMinter and its companions against the true amplitude of a natural motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Level,
    Number,
    Observation,
    Panel,
    mean_at,
    pick,
    slope,
    spearman,
)
from mmbench.studies.validity.lab import FPS, Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import SIZE, Kind, Shot
from mmbench.studies.validity.takes import Take

METRICS = ("fm_inter", "fm_inter_face", "fm_inter_local", "fm_inter_rate")


def facial_motion(points: np.ndarray[tuple[int, ...], np.dtype[np.float32]], short_side: float) -> dict[str, float]:
    """The four numbers from the five points of every frame, (N, 5, 2) px, NaN where there is no face."""
    from mmbench.metrics.fm_inter import SAMPLES, fm_inter, fm_inter_rate
    from mmbench.video.sample import sample_indices

    found: dict[str, float] = {}
    if (sampled := fm_inter(points[sample_indices(len(points), SAMPLES)], short_side)) is not None:
        found.update(fm_inter=sampled.frame, fm_inter_face=sampled.face, fm_inter_local=sampled.local)
    if (steady := fm_inter_rate(points, short_side, FPS)) is not None:
        found.update(fm_inter_rate=steady.rate, floor=steady.floor)
    return found


def moving_rows(
    lab: Lab, person: str, kind: Kind, levels: Levels, amplitudes: Sequence[float]
) -> Iterator[Observation]:
    """One motion at several amplitudes: as detected, and from the true landmarks."""
    for amplitude in amplitudes:
        take: Take = lab.take(Shot(person, kind, amplitude, levels.frames))
        track = lab.track(take.frames)
        detected = np.where(track.usable[:, None, None], track.points, np.float32(np.nan))
        for series, points in ((kind, detected), (f"{kind} true", take.points)):
            for metric, value in facial_motion(points, SIZE).items():
                yield Observation(person, series, amplitude, metric, value)


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """The same natural motion (head, smile, blink, a few words) at growing amplitude."""
    yield from moving_rows(lab, person, "mixed", levels, levels.amplitudes)


def panel(rows: Sequence[Observation], metric: str, title: str, colour: int) -> Panel:
    """One number against amplitude, detected and true."""
    return Panel(
        title,
        "amplitude of the motion (1: lively)",
        metric,
        (
            Curve("detected landmarks", pick(rows, metric, "mixed"), colour),
            Curve("true landmarks", pick(rows, metric, "mixed true"), colour, truth=True),
        ),
    )


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Order, slope, agreement with the truth, and what a motionless clip reads."""
    seen = {metric: pick(rows, metric, "mixed") for metric in METRICS}
    rho = {metric: spearman(f"Spearman rho, {metric}", seen[metric]) for metric in METRICS}
    zero = {metric: mean_at(seen[metric], 0.0) for metric in METRICS}
    lively = {metric: mean_at(seen[metric], max(levels.amplitudes)) for metric in METRICS}
    floor = mean_at(pick(rows, "floor", "mixed"), 0.0)
    rate = panel(rows, "fm_inter_rate", "Companion: rate", 1)
    return Finding(
        name="motion",
        title="FMinter: more and less of the same motion",
        how=f"{levels.frames}-frame clips of one natural motion (head, smile, blink, a few words) at growing "
        "amplitude, "
        "camera still. Dashed: from the true landmarks. The amplitude of 0 is a motionless clip with sensor noise.",
        panels=(
            panel(rows, "fm_inter", "Column of the paper", 0),
            Panel(
                rate.title,
                rate.x,
                rate.y,
                rate.curves,
                levels=(Level("noise floor of the still clip", floor),),
            ),
            panel(rows, "fm_inter_local", "Companion: camera-free", 2),
        ),
        numbers=(
            *rho.values(),
            slope("Slope of fm_inter per unit of amplitude, detected", seen["fm_inter"]),
            slope("Slope of fm_inter per unit of amplitude, true", pick(rows, "fm_inter", "mixed true")),
            *(Number(f"{metric} of a motionless clip (true value 0)", value) for metric, value in zero.items()),
        ),
        claims=(
            Claim("fm_inter rises with the true amplitude (rho above 0.9).", rho["fm_inter"].value > 0.9),
            Claim(
                "fm_inter_rate rises with the true amplitude (rho above 0.9).",
                rho["fm_inter_rate"].value > 0.9,
            ),
            Claim(
                "fm_inter_local rises with the true amplitude (rho above 0.8).",
                rho["fm_inter_local"].value > 0.8,
            ),
            Claim(
                "A motionless clip reads under a tenth of a lively one's fm_inter.",
                zero["fm_inter"] < 0.1 * lively["fm_inter"],
            ),
        ),
        conclusion="With a still camera FMinter and its companions follow the true motion. Landmark noise "
        "sets a floor: a "
        f"motionless clip reads {zero['fm_inter']:.3f} (fm_inter), {zero['fm_inter_rate']:.4f} (rate) and "
        f"{zero['fm_inter_local']:.2f} (camera-free, in inter-ocular distances). Take the floor off before you "
        "call a small "
        "difference motion.",
    )
