"""Columns of other benchmarks over clips whose ranking is known: the right person acting, and seven photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.official.cuts import COUNTS, frames_of
from mmbench.flow.farneback import FarnebackPass
from mmbench.metrics.official.face_similarity import facesim
from mmbench.metrics.official.human_identity import human_identity
from mmbench.metrics.official.motion_amplitude import motion_amplitude
from mmbench.studies.validity.adversaries import ADVERSARIES, PASTED, pasted, placed
from mmbench.studies.validity.finding import Claim, Finding, Grid, Number, Observation, pick
from mmbench.studies.validity.lab import Lab, clip_info
from mmbench.studies.validity.levels import Levels

CONTROLS = ("truth", "still", "copy-paste", "stranger", "drift", "vanish")
SYSTEMS = (*CONTROLS[1:], *ADVERSARIES)
OFFICIAL = {
    "facesim consisid (dlib)": 1,
    "facesim opens2v (dlib)": 1,
    "human_identity (dlib)": 1,
    "motion_amplitude": 1,
    "motion_length": 1,
}
"""What can be measured without files to be fetched: columns, with +1 where higher is better. "(dlib)" is the published
rule with dlib's detector and recogniser in the place of networks that are not bundled."""
MISSING = ("facesim_arc", "facesim_cur", "face_feature_distance", "clip_score", "aesthetic", "human_identity")
OURS = {
    "id_margin": 1,
    "face_rate": 1,
    "fm_inter_local": 1,
    "fm_inter_affine_free": 1,
    "copy_gap": -1,
    "copy_angle": -1,
}
COLUMNS = OFFICIAL | OURS
SAME = 0.6
"""dlib's distance up to which two faces are one person's: stands for the cosine of 0.4 of VBench-2.0's network."""
EMPTY = np.full(128, np.nan, np.float32)


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Every column of the person's control clips and of photographs in their place."""
    reference = lab.shown_picture(person)
    for system, frames in _clips(lab, person, reference):
        found = {**_official(lab, frames, lab.shown(person)), **lab.scores(person, frames)}
        for column in COLUMNS:
            if column in found:
                yield Observation(person, system, 0.0, column, float(found[column]))


def _clips(lab: Lab, person: str, photo: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    truth = _control("truth", person)
    yield "truth", truth
    for system in CONTROLS[1:]:
        yield system, _control(system, person)
    yield from placed(photo, (truth.shape[1], truth.shape[2]), len(truth))
    track = lab.track(truth)
    boxes = np.full((len(truth), 4), np.nan)
    boxes[track.frames[track.usable]] = track.tight_box[track.usable]
    yield PASTED, pasted(photo, lab.references(person).tight_box[0], truth, boxes)


def _control(system: str, person: str) -> NDArray[np.uint8]:
    """A committed control clip."""
    from mmbench.testsets.synthetic50 import root
    from mmbench.video.read import open_clip

    (path,) = sorted((root() / "controls" / system).glob(f"{person}_*.mp4"))
    return np.stack(list(open_clip(Path(path)).frames()))


def _official(lab: Lab, frames: NDArray[np.uint8], reference: NDArray[np.float32]) -> dict[str, float]:
    """The official columns that can be had here."""
    flow: Any = FarnebackPass()
    flow.start(clip_info(frames))
    counts, rows = [], []
    for index, frame in enumerate(frames):
        flow.feed(index, frame)
        faces = lab.faces.detect_fast([frame])[0]  # type: ignore[attr-defined]
        largest = max(faces, key=lambda face: np.prod(face.box[2:] - face.box[:2]), default=None)
        counts.append(len(faces))
        rows.append(EMPTY if largest is None else lab.faces.embed(lab.faces.chip(frame, largest)[None])[0])
    vectors, motion = np.stack(rows), motion_amplitude(flow.finish().maps)
    found = {
        f"facesim {protocol} (dlib)": facesim(vectors[frames_of(protocol, len(frames))], reference).value
        for protocol in COUNTS
    }
    found.update(motion_amplitude=motion.value, motion_length=motion.length)
    alike = np.where(np.linalg.norm(vectors - vectors[0], axis=1) <= SAME, 1.0, 0.0)
    same = human_identity(np.array(counts, float), np.where(np.array(counts) == 1, alike, np.nan))
    if same is not None:
        found["human_identity (dlib)"] = same.value
    return found


def verdict(rows: Sequence[Observation], column: str, system: str) -> float | None:
    """Percent of people with the true clip above this one, minus those with it below: +100 is right, -100 upside down.

    None where no person has both.
    """
    of = {name: {row.person: row.value for row in pick(rows, column, name)} for name in ("truth", system)}
    both = of["truth"].keys() & of[system].keys()
    if not both:
        return None
    signs = [np.sign(round(COLUMNS[column] * (of["truth"][p] - of[system][p]), 6)) for p in both]
    return float(100 * np.mean(signs))


def _mean(rows: Sequence[Observation], column: str, system: str) -> float:
    values = [row.value for row in pick(rows, column, system)]
    return float(np.mean(values)) if values else float("nan")


HOW = (
    "Committed control clips of each person (see `mmbench/synth/control.py`), and the picture that models are shown, "
    "held still, panned, zoomed, squeezed, sheared, mirrored, or its face pasted on the moving clip. Cells: percent of "
    "people in whom the column puts the right person's natural clip above the row's, minus percent in whom it puts it "
    "below; +100 is right everywhere, 0 undecided, −100 upside down. The published rules are run as they are; "
    '"(dlib)" marks dlib\'s detector and recogniser in the place of a network whose file is not bundled. Not measured '
    f"here, because their files are not bundled (`mmbench weights get official`): {', '.join(MISSING)}."
)


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """Which columns rank which clips wrongly."""
    verdicts = {(c, s): verdict(rows, c, s) for c in COLUMNS for s in SYSTEMS}

    def wrong(column: str) -> list[str]:
        return [s for s in SYSTEMS if (found := verdicts[column, s]) is not None and found <= 0]

    unseen = [s for s in SYSTEMS if all((verdicts[c, s] or 0) <= 0 for c in OURS)]
    cells = tuple(tuple(verdicts[c, s] for c in COLUMNS) for s in SYSTEMS)
    fooled = {column: wrong(column) for column in OFFICIAL}
    squeezed = {c: verdicts[c, "photo squeezed"] or 0.0 for c in ("fm_inter_local", "fm_inter_affine_free")}
    by_rule = "facesim opens2v (dlib)"
    return Finding(
        name="official",
        title="Other benchmarks' columns: what they rank wrongly",
        how=HOW,
        panels=(),
        numbers=tuple(
            Number(f"{column}: {system}", _mean(rows, column, system))
            for column in (*OFFICIAL, "fm_inter_local", "fm_inter_affine_free")
            for system in ("truth", "copy-paste", "vanish", "stranger", "photo squeezed")
        ),
        claims=(
            Claim("FaceSim's rule puts copy-paste above the person who acts.", "copy-paste" in fooled[by_rule]),
            Claim(
                "FaceSim's rule takes less than 0.005 off for a person who vanishes half-way.",
                bool(_mean(rows, by_rule, "truth") - _mean(rows, by_rule, "vanish") < 0.005),
            ),
            Claim("FaceSim's rule tells a stranger.", "stranger" not in fooled[by_rule]),
            Claim(
                "VBench-2.0's human identity sees none of vanish, copy-paste and stranger.",
                {"vanish", "copy-paste", "stranger"} <= set(fooled["human_identity (dlib)"]),
            ),
            Claim(
                "Motion amplitude puts copy-paste, a panned photograph, above the person who acts.",
                "copy-paste" in fooled["motion_amplitude"],
            ),
            Claim("Every clip that is not the person acting is put below by one of ours in most people.", not unseen),
            Claim(
                "fm_inter_affine_free puts the squeezed photograph below, where fm_inter_local does so less often.",
                squeezed["fm_inter_affine_free"] > max(0.0, squeezed["fm_inter_local"]),
            ),
        ),
        conclusion=" ".join(
            f"{column} does not put below the person who acts: {', '.join(names) or 'nothing'}."
            for column, names in fooled.items()
        )
        + f" Against the squeezed photograph fm_inter_affine_free is right in {squeezed['fm_inter_affine_free']:+.0f}, "
        f"fm_inter_local in {squeezed['fm_inter_local']:+.0f} (+100: in everybody).",
        grids=(Grid("truth above minus truth below (% of people)", SYSTEMS, tuple(COLUMNS), cells),),
    )
