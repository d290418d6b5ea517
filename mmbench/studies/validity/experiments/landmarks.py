"""The detector's landmarks against the true ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Number,
    Observation,
    Panel,
    mean_at,
    over_people,
    pick,
)
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import Shot
from mmbench.studies.validity.takes import Take

POINTS = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")
PARTS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}


def errors(found: NDArray[np.float32], true: NDArray[np.float32], unit: float) -> NDArray[np.float64]:
    """Distances (..., n) of points (..., n, 2) px from the true ones, in % of `unit` px."""
    return np.asarray(100 * np.linalg.norm(np.asarray(found, np.float64) - true, axis=-1) / unit)


def frontal_eye_distance(take: Take) -> float:
    """Mean distance between the eye centres of a take, px: the unit of every error of the person."""
    return float(np.linalg.norm(take.points[:, 0] - take.points[:, 1], axis=-1).mean())


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Error of every point by yaw and by expression, and the five points' bias and jitter."""
    unit = frontal_eye_distance(lab.take(Shot(person, "yaw", 0.0, levels.views)))
    for kind, values in (("yaw", levels.yaws), ("smile", levels.strengths), ("open", levels.strengths)):
        for level in values:
            take = lab.take(
                Shot(
                    person,
                    "yaw" if kind == "yaw" else "smile" if kind == "smile" else "open",
                    level,
                    levels.views,
                )
            )
            track = lab.track(take.frames)
            rows = track.frames[track.usable]
            if not len(rows) or track.points68 is None:
                continue
            five = errors(track.points[track.usable], take.points[rows], unit).mean(0)
            every = errors(track.points68[track.usable], take.landmarks[rows], unit).mean(0)
            for name, value in zip(POINTS, five, strict=True):
                yield Observation(person, f"{kind} {name}", level, "error", float(value))
            yield Observation(person, f"{kind} five points", level, "error", float(five.mean()))
            for part, (first, last) in PARTS.items():
                yield Observation(person, f"{kind} {part} of 68", level, "error", float(every[first:last].mean()))
    yield from _jitter(lab, person, levels, unit)


def _jitter(lab: Lab, person: str, levels: Levels, unit: float) -> Iterator[Observation]:
    """What the five points of a motionless clip do: tremble about their mean, and miss the truth on average."""
    take = lab.take(Shot(person, "mixed", 0.0, levels.frames))
    track = lab.track(take.frames)
    found = track.points[track.usable]
    if len(found) > 1:
        tremble = np.sqrt(((found - found.mean(0)) ** 2).sum(-1).mean(0))
        missed = found.mean(0) - take.points[track.usable].mean(0)
        for k, name in enumerate(POINTS):
            yield Observation(person, name, 0.0, "jitter", float(100 * tremble[k] / unit))
            yield Observation(person, name, 0.0, "bias across", float(100 * missed[k, 0] / unit))
            yield Observation(person, name, 0.0, "bias down", float(100 * missed[k, 1] / unit))


HOW = (
    "Distance of dlib's points from the true ones, in % of the person's frontal inter-ocular distance. Left and right "
    "as seen in the image. The 17 points of the jaw have no fixed place on a cheek, so their error is large by "
    "definition."
)


def _panels(rows: Sequence[Observation]) -> tuple[Panel, ...]:
    """What is drawn."""
    parts = tuple(Curve(part, pick(rows, "error", f"yaw {part} of 68"), k) for k, part in enumerate(PARTS))
    corners = tuple(
        Curve(label, pick(rows, "error", f"{kind} left mouth corner"), k)
        for k, (kind, label) in enumerate((("smile", "smile"), ("open", "open mouth")))
    )
    return (
        Panel(
            "The five points",
            "yaw (degrees)",
            "error (% of eye distance)",
            tuple(Curve(name, pick(rows, "error", f"yaw {name}"), k) for k, name in enumerate(POINTS)),
        ),
        Panel("All 68, by part", "yaw (degrees)", "error (% of eye distance)", parts),
        Panel("Left mouth corner, by expression", "strength", "error (% of eye distance)", corners),
    )


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Mean errors by turn, the bias and the jitter."""
    five = pick(rows, "error", "yaw five points")
    near = over_people(
        "Error of the five points at yaw 0 (% of the inter-ocular distance)",
        {row.person: row.value for row in five if row.level == 0},
        decimals=1,
    )
    turned = (mean_at(five, 45.0) + mean_at(five, -45.0)) / 2
    oblique = (mean_at(five, 30.0) + mean_at(five, -30.0)) / 2
    widest = max(abs(row.level) for row in five)
    lost = (mean_at(five, widest) + mean_at(five, -widest)) / 2
    mouth = [mean_at(pick(rows, "error", f"smile {name}"), level) for level in (0.0, 1.0) for name in POINTS[3:]]
    neutral, smiling = float(np.mean(mouth[:2])), float(np.mean(mouth[2:]))
    jitter = pick(rows, "jitter")
    tremble = over_people(
        "Jitter of the five points in a motionless clip (% of the inter-ocular distance)",
        {p: float(np.mean([r.value for r in jitter if r.person == p])) for p in {r.person for r in jitter}},
        decimals=2,
    )
    biases = []
    for name in POINTS:
        for metric in ("bias across", "bias down"):
            values = {row.person: row.value for row in pick(rows, metric, name)}
            biases.append(over_people(f"{metric.capitalize()}, {name} (%)", values, decimals=1))
    return Finding(
        name="landmarks",
        title="Landmarks: what the detector sees and what is there",
        how=HOW,
        panels=_panels(rows),
        numbers=(
            near,
            Number("Error of the five points at 45 degrees of yaw (%)", turned, decimals=1),
            Number(f"Error of the five points at {widest:g} degrees of yaw (%)", lost, decimals=1),
            Number("Error of the mouth corners, neutral (%)", neutral, decimals=1),
            Number("Error of the mouth corners, full smile (%)", smiling, decimals=1),
            tremble,
            *biases,
        ),
        claims=(
            Claim(
                "The five points of a frontal face are within 6 % of the inter-ocular distance.",
                near.value < 6,
            ),
            Claim("Turned by 30 degrees they are still within 12 %.", oblique < 12),
            Claim("Turned by 45 degrees they are still within 12 %.", turned < 12),
            Claim(f"Turned by {widest:g} degrees they are lost (above 20 %).", lost > 20),
            Claim("A full smile at least doubles the error of the mouth corners.", smiling > 2 * neutral),
        ),
        conclusion=f"The detector's five points are off by {near.value:.1f} % of the inter-ocular distance "
        "when frontal, "
        f"{oblique:.1f} % at 30 degrees of yaw, {turned:.1f} % at 45 and {lost:.0f} % at {widest:g}: trust no "
        "facial-motion "
        "column of heads turned by more than 30 degrees. They follow an expression only in part: a full smile "
        "raises the "
        f"mouth corners' error from {neutral:.1f} to {smiling:.1f} %. In a motionless clip they tremble by "
        f"{tremble.value:.2f} %, which is what the facial-motion columns read of a still.",
    )
