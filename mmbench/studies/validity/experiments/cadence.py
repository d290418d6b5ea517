"""Motion smoothness against the share of held frames: stop-and-go that is known exactly."""

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
    over_people,
    pick,
    spearman,
)
from mmbench.studies.validity.lab import Lab, every
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import Kind, Shot

SHOTS: tuple[Kind, ...] = ("camera-pan", "mixed")
NAMES = {"camera-pan": "even pan", "mixed": "natural motion"}


def held(count: int, period: int) -> list[int]:
    """Frame numbers of a clip in which every `period`-th frame repeats the one before (0: none); length as before."""
    return [k - 1 if period and k % period == period - 1 else k for k in range(count)]


def expected(indices: Sequence[int]) -> float:
    """Motion smoothness of frames `indices` of a motion of constant velocity, by its definition.

    The mean of |b - a| / (b + a) over consecutive steps a, b (0 where both are 0).
    """
    steps = np.diff(indices)
    change, length = np.abs(np.diff(steps)), steps[1:] + steps[:-1]
    return float(np.mean(np.divide(change, length, out=np.zeros(len(change)), where=length > 0)))


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Rendered clips with frames replaced by their predecessors."""
    from mmbench.metrics.motion_smoothness import smoothness

    for kind in SHOTS:
        amplitude = (
            max(levels.pans) if kind == "camera-pan" else 1.0 if 1.0 in levels.amplitudes else max(levels.amplitudes)
        )
        take = lab.take(Shot(person, kind, amplitude, levels.frames))
        for period in levels.holds:
            indices = held(levels.frames, period)
            share = float(np.mean(np.diff(indices) == 0))
            seen = lab.flow(every(take.frames, indices)).smoothness
            found = smoothness(seen) if seen is not None else None
            if found is not None:
                yield Observation(person, kind, share, "motion_smoothness", found.value)
            if kind == "camera-pan":
                yield Observation(person, "constant velocity", share, "motion_smoothness", expected(indices))
        yield Observation(person, f"{kind} true", 0.0, "motion_smoothness", float(np.mean(take.ratios)))


HOW = (
    "Frames of a rendered clip are replaced by the one before, as careless encoders do. For an even pan the right "
    "value follows from the definition (dashed). Flow by DIS."
)


def _panels(
    pan: tuple[Observation, ...], natural: tuple[Observation, ...], closed: tuple[Observation, ...]
) -> tuple[Panel, ...]:
    """What is drawn."""
    return (
        Panel(
            "Column of the paper (lower is smoother)",
            "share of transitions without motion",
            "motion_smoothness",
            (
                *(
                    Curve(NAMES[kind], each, k)
                    for k, (kind, each) in enumerate(zip(SHOTS, (pan, natural), strict=True))
                ),
                Curve("closed form, constant velocity", closed, 0, truth=True),
            ),
            levels=(Level("warning for a broken cadence", 0.8, left=True),),
        ),
    )


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Order, and the distance from the closed form."""
    pan, natural = (pick(rows, "motion_smoothness", kind) for kind in SHOTS)
    closed = pick(rows, "motion_smoothness", "constant velocity")
    formula = {(row.person, row.level): row.value for row in closed}
    away: dict[str, list[float]] = {}
    for row in pan:
        away.setdefault(row.person, []).append(row.value - formula[row.person, row.level])
    bias = over_people("Bias against the closed form, even pan", {p: float(np.mean(v)) for p, v in away.items()})
    rho = spearman("Spearman rho, even pan", pan)
    rho_natural = spearman("Spearman rho, natural motion", natural)
    worst = max(row.level for row in pan)
    true_pan = mean_at(pick(rows, "motion_smoothness", "camera-pan true"), 0.0)
    true_natural = mean_at(pick(rows, "motion_smoothness", "mixed true"), 0.0)
    return Finding(
        name="cadence",
        title="Motion smoothness: a known share of held frames",
        how=HOW,
        panels=_panels(pan, natural, closed),
        numbers=(
            rho,
            rho_natural,
            bias,
            Number("Even pan without held frames, DIS", mean_at(pan, 0.0)),
            Number("The same from true flow", true_pan),
            Number("Natural motion without held frames, DIS", mean_at(natural, 0.0)),
            Number("The same from true flow", true_natural),
        ),
        claims=(
            Claim(
                "Motion smoothness rises with the share of held frames in an even pan (rho above 0.9).",
                rho.value > 0.9,
            ),
            Claim("It lies within 0.1 of the closed form on average.", abs(bias.value) < 0.1),
            Claim(
                "It rises with held frames in natural motion as well (rho above 0.8).",
                rho_natural.value > 0.8,
            ),
        ),
        conclusion=f"Motion smoothness finds stop-and-go: {mean_at(pan, 0.0):.2f} for an even pan, "
        f"{mean_at(pan, worst):.2f} "
        f"with {worst:.0%} of transitions held. Natural motion that changes direction already reads "
        f"{mean_at(natural, 0.0):.2f} ({true_natural:.2f} from true flow), so compare clips of like motion, "
        "and treat 0.8 and "
        "more as a broken cadence.",
    )
