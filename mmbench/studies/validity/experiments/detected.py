"""Metrics from detected landmarks against the same metrics from true ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmbench.studies.validity.experiments.dynamic_degree import moving_shots
from mmbench.studies.validity.experiments.motion import facial_motion
from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Number,
    Observation,
    Panel,
    over_people,
    pick,
    spearman,
)
from mmbench.studies.validity.lab import Lab, true_photo, true_track
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import SIZE, Shot

METRICS = ("fm_inter", "fm_inter_local", "fm_inter_rate", "fm_ref", "fm_ref_pose")


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Every clip: each metric both ways, the true value as x."""
    from mmbench.metrics.fm_ref import measure_against

    photo = lab.photo(person)
    true_reference = true_photo(lab.take(Shot(person, "photo")), photo)
    shots = [*moving_shots(person, levels), Shot(person, "long", 0.0, levels.long)]
    for number, shot in enumerate(shots):
        take = lab.take(shot)
        track = lab.track(take.frames)
        found = facial_motion(np.where(track.usable[:, None, None], track.points, np.float32(np.nan)), SIZE)
        true = facial_motion(take.points, SIZE)
        if (track.slot_frames >= 0).any():
            tight, _, pose = measure_against(track, photo)
            found.update(fm_ref=tight.mean, fm_ref_pose=pose.mean)
        tight, _, pose = measure_against(true_track(take, track), true_reference)
        true.update(fm_ref=tight.mean, fm_ref_pose=pose.mean)
        for metric in METRICS:
            if metric in found and metric in true:
                yield Observation(person, shot.kind, float(number), metric, found[metric], x=true[metric])


def _bias(metric: str, rows: Sequence[Observation]) -> Number:
    away: dict[str, list[float]] = {}
    for row in rows:
        away.setdefault(row.person, []).append(row.value - row.at)
    return over_people(f"Bias of {metric} (detected minus true)", {p: float(np.mean(v)) for p, v in away.items()})


def _scatter(metric: str, rows: Sequence[Observation]) -> Number:
    differences = [row.value - row.at for row in rows]
    return Number(f"Scatter of {metric} (standard deviation of the difference)", float(np.std(differences)))


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Correlation, bias and scatter of each metric."""
    seen = {metric: pick(rows, metric) for metric in METRICS}
    rho = {metric: spearman(f"Spearman rho of {metric}, detected against true", seen[metric]) for metric in METRICS}
    bias = {metric: _bias(metric, seen[metric]) for metric in METRICS}
    kinds = {
        "mixed": "person moves",
        "camera-pan": "camera pans",
        "camera-zoom": "camera zooms",
        "long": "natural performance",
    }
    return Finding(
        name="detected",
        title="The price of detecting: metrics from detected and from true landmarks",
        how="Every clip with motion once more: across, the metric computed from the true landmarks, where it "
        "equals its "
        "closed form to rounding (`tests/validity`); up, computed from detected ones. On the diagonal the "
        "detector costs "
        "nothing.",
        panels=tuple(
            Panel(
                metric,
                "from true landmarks",
                "from detected landmarks",
                tuple(Curve(label, pick(rows, metric, kind), k) for k, (kind, label) in enumerate(kinds.items())),
                scatter=True,
            )
            for metric in METRICS
        ),
        numbers=(*rho.values(), *bias.values(), *(_scatter(metric, seen[metric]) for metric in METRICS)),
        claims=(
            Claim(
                "fm_inter as detected keeps the true order of clips (rho above 0.95).",
                rho["fm_inter"].value > 0.95,
            ),
            Claim(
                "fm_inter_rate as detected keeps the true order of clips (rho above 0.9).",
                rho["fm_inter_rate"].value > 0.9,
            ),
            Claim(
                "Detection adds to fm_inter_local (bias above 0): noise cannot be aligned away.",
                bias["fm_inter_local"].value > 0,
            ),
        ),
        conclusion=f"The detector costs fm_inter next to nothing (rho {rho['fm_inter'].value:.2f}, bias "
        f"{bias['fm_inter'].value:+.3f}). The camera-free companion pays {bias['fm_inter_local'].value:+.2f} "
        "inter-ocular "
        f"distances of landmark noise, and fm_ref is off by {bias['fm_ref'].value:+.2f} because the detector's "
        "points differ "
        "from the true ones in clip and reference alike: compare methods measured by one detector only.",
    )
