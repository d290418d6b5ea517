"""FMref against the true turn of the head and the true strength of an expression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Number,
    Observation,
    Panel,
    gap,
    mean_at,
    pick,
    slope,
    spearman,
)
from mmbench.studies.validity.lab import Lab, true_photo, true_track
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import Kind, Shot

METRICS = ("fm_ref", "fm_ref_pose")
VARIED: tuple[Kind, ...] = ("yaw", "smile", "open")
SERVED = 45.0
"""Degrees of yaw up to which the detector is asked to keep the order."""


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Views at a known yaw, smile or opening of the mouth against a frontal neutral photo, detected and true points."""
    from mmbench.metrics.fm_ref import measure_against

    photo = lab.photo(person)
    true = true_photo(lab.take(Shot(person, "photo")), photo)
    for kind in VARIED:
        for level in levels.yaws if kind == "yaw" else levels.strengths:
            take = lab.take(Shot(person, kind, level, levels.views))
            track = lab.track(take.frames)
            if (track.slot_frames >= 0).any():
                tight, _, pose = measure_against(track, photo)
                yield Observation(person, kind, level, "fm_ref", tight.mean)
                yield Observation(person, kind, level, "fm_ref_pose", pose.mean)
            tight, _, pose = measure_against(true_track(take, track), true)
            yield Observation(person, f"{kind} true", level, "fm_ref", tight.mean)
            yield Observation(person, f"{kind} true", level, "fm_ref_pose", pose.mean)


def _panel(rows: Sequence[Observation], metric: str, kind: str, title: str, x: str) -> Panel:
    found = Curve("detected landmarks", pick(rows, metric, kind), METRICS.index(metric))
    true = Curve("true landmarks", pick(rows, metric, f"{kind} true"), METRICS.index(metric), truth=True)
    return Panel(title, x, metric, (found, true))


HOW = (
    "Separate views against a frontal, neutral photo of the same person. Dashed: the same metric computed from the "
    "true landmarks. Yaw is that of the head; smile and mouth opening are the strength of the expression on a frontal "
    "head. Nothing moves in any of these views."
)


def _panels(rows: Sequence[Observation]) -> tuple[Panel, ...]:
    """What is drawn."""
    return (
        _panel(rows, "fm_ref", "yaw", "Turn of the head", "yaw (degrees)"),
        _panel(rows, "fm_ref", "smile", "Smile", "strength"),
        _panel(rows, "fm_ref", "open", "Open mouth", "strength"),
        _panel(rows, "fm_ref_pose", "yaw", "Box-free companion: turn", "yaw (degrees)"),
        _panel(rows, "fm_ref_pose", "smile", "Box-free companion: smile", "strength"),
        _panel(rows, "fm_ref_pose", "open", "Box-free companion: open mouth", "strength"),
    )


def _expressions(
    rows: Sequence[Observation], smile: Sequence[Observation], opened: Sequence[Observation]
) -> tuple[Number, ...]:
    """Whether expressions are ordered rightly."""
    return (
        spearman("Spearman rho, fm_ref against the smile", smile),
        spearman("Spearman rho, fm_ref against the opening of the mouth", opened),
        spearman("Spearman rho, fm_ref_pose against the smile", pick(rows, "fm_ref_pose", "smile")),
        spearman(
            "Spearman rho, fm_ref_pose against the opening of the mouth",
            pick(rows, "fm_ref_pose", "open"),
        ),
    )


def _claims(rho_true: Number, rho_served: Number, beyond: Number, turn: Number, grin: Number) -> tuple[Claim, ...]:
    """What the numbers decide."""
    return (
        Claim(
            f"fm_ref from true landmarks rises with |yaw| up to {SERVED:g} degrees (rho above 0.9).",
            rho_true.value > 0.9,
        ),
        Claim(
            f"fm_ref as detected rises with |yaw| up to {SERVED:g} degrees (rho above 0.9).",
            rho_served.value > 0.9,
        ),
        Claim(f"Beyond {SERVED:g} degrees fm_ref as detected goes on rising.", beyond.value > 0),
        Claim(
            "A turn of 45 degrees moves fm_ref at least three times as much as a full smile.",
            turn.value > 3 * grin.value,
        ),
    )


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Order and slope for yaw and expression, what a rigid frontal face scores, and where detection gives out."""
    yaw, smile, opened = (pick(rows, "fm_ref", kind) for kind in VARIED)
    yaw_true = pick(rows, "fm_ref", "yaw true")
    served = tuple(row for row in yaw if abs(row.level) <= SERVED)
    rho_all = spearman("Spearman rho, fm_ref against |yaw|, all angles", yaw, magnitude=True)
    rho_served = spearman(f"Spearman rho, fm_ref against |yaw| up to {SERVED:g} degrees", served, magnitude=True)
    rho_true = spearman(
        f"Spearman rho, fm_ref from true landmarks against |yaw| up to {SERVED:g} degrees",
        tuple(row for row in yaw_true if abs(row.level) <= SERVED),
        magnitude=True,
    )
    pose_true = spearman(
        "Spearman rho, fm_ref_pose from true landmarks against |yaw|",
        pick(rows, "fm_ref_pose", "yaw true"),
        magnitude=True,
    )
    zero = Number("fm_ref of a frontal, neutral view of another day", mean_at(smile, 0.0))
    zero_true = Number("The same from true landmarks", mean_at(pick(rows, "fm_ref", "smile true"), 0.0))
    turn = Number("fm_ref gained by 45 degrees of yaw", (mean_at(yaw, 45.0) + mean_at(yaw, -45.0)) / 2 - zero.value)
    grin = gap("fm_ref gained by a full smile", smile, 0.0, 1.0)
    widest = max(abs(row.level) for row in yaw)
    lost = [
        sum(mean_at(each, sign * widest) for sign in (-1, 1)) / 2
        - sum(mean_at(each, sign * SERVED) for sign in (-1, 1)) / 2
        for each in (yaw, yaw_true)
    ]
    beyond = Number(f"fm_ref from {SERVED:g} to {widest:g} degrees, detected", lost[0])
    beyond_true = Number(f"fm_ref from {SERVED:g} to {widest:g} degrees, true", lost[1])
    return Finding(
        name="reference-motion",
        title="FMref: turning away from the reference photo",
        how=HOW,
        panels=_panels(rows),
        numbers=(
            rho_true,
            pose_true,
            rho_served,
            rho_all,
            slope(f"Slope of fm_ref per degree of |yaw| up to {SERVED:g} degrees", served, 4, magnitude=True),
            turn,
            beyond,
            beyond_true,
            *_expressions(rows, smile, opened),
            grin,
            gap("fm_ref gained by a fully open mouth", opened, 0.0, 1.0),
            zero,
            zero_true,
        ),
        claims=_claims(rho_true, rho_served, beyond, turn, grin),
        conclusion=f"FMref measures pose first: 45 degrees of yaw add {turn.value:.2f}, a full smile "
        f"{grin.value:.2f}, and two "
        f"frontal pictures of one neutral face already differ by {zero.value:.2f} through landmark noise. It "
        "is no measure of "
        f"motion, since none of these views moves. From {SERVED:g} to {widest:g} degrees the detected value changes by "
        f"{beyond.value:+.2f} where the true one changes by {beyond_true.value:+.2f}: read it with the face "
        "rate, and distrust "
        "it for profiles.",
    )
