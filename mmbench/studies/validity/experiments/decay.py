"""Similarity decay against the true rate of drift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Level,
    Observation,
    Panel,
    deviation,
    mean_at,
    over_people,
    pick,
    slope,
    spearman,
)
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import Shot


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Clips of the person swaying while the face drifts evenly to another one, and the similarity of every slot."""
    from mmbench.metrics.id_similarity import similarity_curve

    for reach in levels.reaches:
        frames = lab.take(Shot(person, "drift", reach, levels.frames)).frames
        scores = lab.scores(person, frames)
        if "similarity_decay" in scores:
            yield Observation(person, "drift", reach, "similarity_decay", scores["similarity_decay"])
        track = lab.track(frames)
        curve = similarity_curve(track.embeddings, lab.references(person).embeddings)
        for frame, value in zip(track.slot_frames, curve, strict=True):
            if np.isfinite(value):
                time = float(frame) / (levels.frames - 1)
                yield Observation(person, f"reach {reach:g}", time, "similarity", float(value))


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Slope, order and the noise of a clip that does not drift."""
    decay = pick(rows, "similarity_decay")
    rho = spearman("Spearman rho, similarity_decay", decay)
    still = [row for row in decay if row.level == 0]
    noise = deviation("Standard deviation between clips that do not drift", still, 4)
    bias = over_people("Bias: mean of clips that do not drift", {row.person: row.value for row in still}, decimals=4)
    full = mean_at(decay, max(levels.reaches))
    curves = tuple(
        Curve(f"drifts to {reach:.0%}", pick(rows, "similarity", f"reach {reach:g}"), k)
        for k, reach in enumerate(levels.reaches)
    )
    return Finding(
        name="decay",
        title="Similarity decay: a person drifting away",
        how=f"{levels.frames}-frame clips, the person swaying, the face moving evenly from its own to the "
        "given share of a "
        "group mate's. Right: similarity decay of the clip; left: the similarity of each frame behind it.",
        panels=(
            Panel("Similarity over the clip", "time (share of the clip)", "cosine to the references", curves),
            Panel(
                "Column of the paper",
                "share of the other person at the end",
                "similarity_decay",
                (Curve("similarity_decay", decay),),
                levels=(Level("no decay", 0.0),),
            ),
        ),
        numbers=(rho, slope("Slope: decay for a drift all the way", decay), bias, noise),
        claims=(
            Claim("similarity_decay rises with the true drift (rho above 0.9).", rho.value > 0.9),
            Claim(
                "A clip that does not drift has a decay within 0.01 of zero on average.",
                abs(bias.value) < 0.01,
            ),
        ),
        conclusion="Similarity decay measures drift, in order and with the right zero, but in units of the compressed "
        f"cosine: losing the person entirely is {full:.3f}. A difference of 0.003, common between rows of published "
        f"tables, is {0.003 / full:.0%} of that way. Rendered clips without drift scatter by only {noise.value:.4f}; "
        "generated ones scatter more, so give it with its interval.",
    )
