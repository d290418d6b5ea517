"""Face rate, and the identity of the faces found, against turn, size and blur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmbench.studies.validity.finding import Claim, Curve, Finding, Number, Observation, Panel, mean_at, pick, spearman
from mmbench.studies.validity.lab import Frames, Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import SIZE, Shot
from mmbench.studies.validity.takes import Take

METRICS = ("face_rate", "id_similarity", "id_centred")


def shrink(frames: Frames, factor: float) -> Frames:
    """Pictures made smaller by `factor` in a frame of the old size, their borders continued: a face far away."""
    import cv2

    side = round(frames.shape[1] * factor)
    rest = frames.shape[1] - side
    border = (rest // 2, rest - rest // 2, rest // 2, rest - rest // 2)
    small = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack([cv2.copyMakeBorder(picture, *border, cv2.BORDER_REPLICATE) for picture in small]).astype(np.uint8)


def blur(frames: Frames, sigma: float) -> Frames:
    """Gaussian blur of `sigma` pixels."""
    import cv2

    return (
        frames
        if sigma == 0
        else np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames]).astype(np.uint8)
    )


def near_frontal(lab: Lab, person: str, levels: Levels) -> Take:
    """The views that are shrunk and blurred."""
    return lab.take(Shot(person, "morph", 0.0, levels.views))


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Turned, shrunk and blurred views."""
    for yaw in levels.yaws:
        yield from _rows(lab, person, "yaw", yaw, lab.take(Shot(person, "yaw", yaw, levels.views)).frames)
    take = near_frontal(lab, person, levels)
    width = float((take.boxes[:, 2] - take.boxes[:, 0]).mean())
    for size in levels.sizes:
        yield from _rows(lab, person, "size", size, shrink(take.frames, size), size * width)
    for sigma in levels.blurs:
        yield from _rows(lab, person, "blur", sigma, blur(take.frames, sigma), 100 * sigma / width)


def _rows(
    lab: Lab, person: str, series: str, level: float, frames: Frames, x: float | None = None
) -> Iterator[Observation]:
    scores = lab.scores(person, frames)
    for metric in METRICS:
        if metric in scores:
            yield Observation(person, series, level, metric, scores[metric], x)


HOW = (
    "Separate views; size by shrinking the picture within its frame, blur Gaussian. dlib as the suite runs it (HOG, "
    "then the CNN). The face's width is that of its true landmarks. Below: what the faces that were found are worth "
    "to the identity columns."
)


def _panels(
    rate: Mapping[str, tuple[Observation, ...]], centred: Mapping[str, tuple[Observation, ...]]
) -> tuple[Panel, ...]:
    """What is drawn."""
    xs = {
        "yaw": "yaw (degrees)",
        "size": f"face width (px, in {SIZE} px)",
        "blur": "blur (sigma, % of face width)",
    }
    titles = {"yaw": "Turn", "size": "Size", "blur": "Blur"}
    panels = [
        Panel(f"{titles[s]}: is the face found?", xs[s], "face_rate", (Curve("face_rate", rate[s]),)) for s in rate
    ]
    panels += [
        Panel(
            f"{titles[s]}: is it still the person?",
            xs[s],
            "id_centred",
            (Curve("id_centred", centred[s], 2),),
        )
        for s in rate
    ]
    return tuple(panels)


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Where faces get lost, and where identity gets wrong before they do."""
    rate = {series: pick(rows, "face_rate", series) for series in ("yaw", "size", "blur")}
    centred = {series: pick(rows, "id_centred", series) for series in ("yaw", "size", "blur")}
    frontal = (mean_at(rate["yaw"], 0.0) + mean_at(rate["size"], 1.0)) / 2
    at_45 = (mean_at(rate["yaw"], 45.0) + mean_at(rate["yaw"], -45.0)) / 2
    centred_45 = (mean_at(centred["yaw"], 45.0) + mean_at(centred["yaw"], -45.0)) / 2
    blurred_rate, blurred = (mean_at(each["blur"], max(levels.blurs)) for each in (rate, centred))
    centred_0 = mean_at(centred["yaw"], 0.0)
    smallest = [row.x or 0.0 for row in rate["size"] if row.value == 1.0]
    return Finding(
        name="detection",
        title="Face rate: turned, small and blurred faces",
        how=HOW,
        panels=_panels(rate, centred),
        numbers=(
            Number("Face rate of near-frontal, full-size views", frontal, decimals=2),
            Number("Face rate at 45 degrees of yaw", at_45, decimals=2),
            Number(
                "Smallest face width always found, any person (px)",
                min(smallest) if smallest else float("nan"),
                decimals=0,
            ),
            spearman("Spearman rho, face rate against |yaw|", rate["yaw"], magnitude=True),
            spearman("Spearman rho, face rate against size", rate["size"]),
            Number("id_centred, frontal", centred_0),
            Number("id_centred at 45 degrees of yaw", centred_45),
            Number("Face rate at the strongest blur", blurred_rate, decimals=2),
            Number("id_centred at the strongest blur", blurred),
            *(
                Number(f"id_centred, picture at {size:g} of its size", mean_at(centred["size"], size))
                for size in levels.sizes[1:]
                if centred["size"] and any(row.level == size for row in centred["size"])
            ),
        ),
        claims=(
            Claim("Near-frontal faces are found (face rate at least 0.95).", frontal >= 0.95),
            Claim(
                "Identity suffers from turn before detection does (id_centred at 45 degrees below 80 % of frontal).",
                centred_45 < 0.8 * centred_0,
            ),
            Claim(
                "Faces too small to measure are not counted (face rate below 0.2 at the smallest size).",
                mean_at(rate["size"], min(levels.sizes)) < 0.2,
            ),
        ),
        conclusion=f"A face found is not a face measured: at 45 degrees of yaw {at_45:.0%} of faces are still "
        "found, but the "
        f"centred similarity of the same person falls from {centred_0:.2f} to {centred_45:.2f}. Methods whose "
        "people turn away "
        "lose identity score without losing identity: read it beside FMref. Blurred faces are found as well "
        f"({blurred_rate:.0%} at the strongest blur) with a centred similarity of {blurred:.2f}: a soft "
        "picture reads as another person.",
    )
