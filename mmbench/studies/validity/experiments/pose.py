"""Yaw read off landmarks against the true one, and what a turn costs in each bin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmbench.face.pose import yaw_of
from mmbench.face.track import FaceTrack
from mmbench.metrics.id_similarity import similarity_curve
from mmbench.metrics.pose_size import YAWS, yaws_of
from mmbench.studies.validity.finding import Claim, Curve, Finding, Number, Observation, Panel, mean_at, pick
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import Shot, drawn_yaws
from mmbench.studies.validity.takes import Take

WIDEST, SEEN = 60.0, 40.0
"""The angles drawn, and up to which dlib's fast detector still sees most faces, in degrees."""
SERIES = {
    "true five": "five true points",
    "true": "68 true points",
    "found five": "five of the detector's",
    "found": "68 of the detector's",
}


def bin_of(yaw: float) -> str:
    """The bin of an angle in degrees."""
    return next((name for name, (low, high) in YAWS.items() if low <= abs(yaw) < high), "side")


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Estimated yaw, faces found and similarity by the true yaw; then views turned by angles of their own."""
    for level in levels.yaws:
        take = lab.take(Shot(person, "yaw", level, levels.views))
        track = lab.track(take.frames)
        yield Observation(person, "found", level, "found", float(track.usable.mean()))
        for series, yaws in _estimates(take, track).items():
            if np.isfinite(yaws).any():
                yield Observation(person, series, level, "yaw", float(np.nanmean(yaws)))
                yield Observation(person, series, level, "error", float(np.nanmean(np.abs(yaws - level))))
                right = [bin_of(yaw) == bin_of(level) for yaw in yaws if np.isfinite(yaw)]
                yield Observation(person, series, level, "right bin", float(np.mean(right)))
        curve = similarity_curve(track.embeddings, lab.references(person).embeddings)
        if np.isfinite(curve).any():
            yield Observation(person, "found", level, "similarity", float(np.nanmean(curve)))
    shot = Shot(person, "turns", WIDEST, levels.turns)
    take = lab.take(shot)
    for series, yaws in _estimates(take, lab.track(take.frames)).items():
        for true, yaw in zip(drawn_yaws(shot), yaws.tolist(), strict=True):
            if np.isfinite(yaw):
                yield Observation(person, series, true, "turn", yaw)


def _estimates(take: Take, track: FaceTrack) -> dict[str, NDArray[np.float64]]:
    """The yaw of every view by each kind of points; NaN where the detector has none."""
    five, every = np.full((2, len(take.frames)), np.nan)
    rows = track.frames[track.usable]
    five[rows], every[rows] = yaw_of(track.points)[track.usable], yaws_of(track)[track.usable]
    return {"true five": yaw_of(take.points), "true": yaw_of(take.landmarks), "found five": five, "found": every}


def right(rows: Sequence[Observation], series: str, within: float = 90.0) -> float:
    """The share of faces turned by less than `within` that are put into their bin; NaN without any."""
    found = [bin_of(row.value) == bin_of(row.level) for row in pick(rows, "turn", series) if abs(row.level) < within]
    return float(np.mean(found)) if found else float("nan")


def confusion(rows: Sequence[Observation], series: str) -> Iterator[Number]:
    """Of the faces of each true bin, the share put into each; NaN for a bin without faces."""
    found = pick(rows, "turn", series)
    for true in YAWS:
        put = [bin_of(row.value) for row in found if bin_of(row.level) == true]
        for name in YAWS:
            share = put.count(name) / len(put) if put else float("nan")
            yield Number(f"Of truly {true} faces, put into {name} by {SERIES[series]} (share)", share, decimals=2)


def _shares(rows: Sequence[Observation]) -> Iterator[Number]:
    for within in (SEEN, WIDEST):
        for series, label in SERIES.items():
            name = f"Angles drawn within {within:g} degrees put into the right bin by {label} (share)"
            yield Number(name, right(rows, series, within), decimals=2)


def _error(rows: Sequence[Observation], series: str, widest: float) -> float:
    return float(np.mean([row.value for row in pick(rows, "error", series) if abs(row.level) <= widest]))


def _at(rows: Sequence[Observation], metric: str, yaw: float) -> float:
    """The mean of both turns."""
    return (mean_at(pick(rows, metric, "found"), yaw) + mean_at(pick(rows, metric, "found"), -yaw)) / 2


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Errors of the estimate, the bins it puts faces into, and the price of a turn."""
    curves = tuple(Curve(label, pick(rows, "yaw", series), k) for k, (series, label) in enumerate(SERIES.items()))
    true, near, wide = _error(rows, "true five", 90), _error(rows, "found", 30), _error(rows, "found", 45)
    bins = [row.value for row in pick(rows, "right bin", "found") if abs(row.level) in (0.0, 30.0, 45.0)]
    cost = mean_at(pick(rows, "similarity", "found"), 0.0) - _at(rows, "similarity", 45.0)
    kept, whole, before = right(rows, "found", SEEN), right(rows, "found"), right(rows, "found five", SEEN)
    return Finding(
        name="pose",
        title="Yaw from landmarks, and similarity by yaw",
        how="Views of each person turned by known angles, with their own light, clothes and backdrop; in the shares, "
        f"by angles drawn evenly within {WIDEST:g} degrees. Yaw is read off 68 points by a network fitted to other "
        "rendered people as dlib sees them, and off five by a formula with one mean nose (`mmbench/face/pose.py`): "
        "true points, and those of dlib where it finds a face. The formula's constant was fitted to 21 people, of whom "
        "seven are these.",
        panels=(
            Panel("Yaw", "true yaw (degrees)", "estimate (degrees)", curves, scatter=False),
            Panel(
                "Similarity to the references",
                "true yaw (degrees)",
                "cosine",
                (Curve("faces found", pick(rows, "similarity", "found")),),
            ),
            Panel("Faces found", "true yaw (degrees)", "share", (Curve("dlib", pick(rows, "found", "found")),)),
        ),
        numbers=(
            Number("Mean error from five true points, all angles (degrees)", true, decimals=1),
            Number("Mean error from 68 true points, all angles (degrees)", _error(rows, "true", 90), decimals=1),
            Number("Mean error from the detector's 68 points up to 30 degrees", near, decimals=1),
            Number("Mean error from the detector's 68 points up to 45 degrees", wide, decimals=1),
            Number("Faces at 0, 30 and 45 degrees put into the right bin (share)", float(np.mean(bins)), decimals=2),
            *_shares(rows),
            *confusion(rows, "found"),
            Number("Similarity lost from 0 to 45 degrees by the same person", cost),
        ),
        claims=(
            Claim("From five true points the mean error is below 5 degrees.", true < 5),
            Claim("From the detector's 68 points it is below 5 degrees up to 30.", near < 5),
            Claim("At 0, 30 and 45 degrees nine of ten faces are put into the right bin.", float(np.mean(bins)) >= 0.9),
            Claim(f"Of angles drawn within {SEEN:g} degrees, 68 points put more faces right than five.", kept > before),
            Claim("The same person loses similarity by turning.", cost > 0),
        ),
        conclusion=f"Yaw from dlib's 68 points is {near:.1f} degrees off up to 30 degrees and {wide:.1f} up to 45. Of "
        f"angles drawn evenly within {SEEN:g} degrees {kept:.0%} of the faces land in the right bin ({before:.0%} by "
        f"five points), within {WIDEST:g} {whole:.0%}: beyond some 40 degrees dlib's frontal detector sees no face, "
        "its landmarks are lost in the box of the other one, and profiles read as frontal. The same person loses "
        f"{cost:.3f} of cosine from 0 to 45 degrees, so compare methods within a bin, and read the share of frames "
        "beside it.",
    )
