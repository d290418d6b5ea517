"""FMref: how far the face moves away from the pose and expression of the reference image (Table 1, FMref)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.face.needs import CONDITION, FACES, REFERENCES
from mmbench.face.track import FaceTrack, ReferenceFaces
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.metrics.id_similarity import too_few_faces
from mmbench.scores import Score


@dataclass(frozen=True)
class FMRefResult:
    """`curve`: distance per frame, shape (K,), NaN where a frame has no face."""

    mean: float
    max: float
    curve: NDArray[np.float64]


def in_box(points: Floats, box: Floats) -> NDArray[np.float64]:
    """Points in box coordinates, each axis by its own side: (..., 5, 2) px and (..., 4) xyxy px -> (..., 5, 2)."""
    corners = np.asarray(box, np.float64)[..., None, :]
    sides = corners[..., 2:] - corners[..., :2]
    return np.asarray((np.asarray(points, np.float64) - corners[..., :2]) / sides)


def in_pose_units(points: Floats) -> NDArray[np.float64]:
    """Points about their centroid in inter-ocular distances, (..., 5, 2) px -> (..., 5, 2): needs no box."""
    wide = np.asarray(points, np.float64)
    eyes = np.linalg.norm(wide[..., 0, :] - wide[..., 1, :], axis=-1)[..., None, None]
    return np.asarray((wide - wide.mean(axis=-2, keepdims=True)) / eyes)


def fm_ref(points: Floats, references: Floats) -> FMRefResult:
    """Sum over the five points of the distance to the reference's points, averaged over references.

    points: (K, 5, 2) and references: (R, 5, 2), both already normalised (by `in_box` or `in_pose_units`); NaN
    frames are skipped. Source: Magic Mirror section 4.1 (landmarks on aspect-ratio-normalised frames, L2 after
    position alignment). Raises ValueError when no frame has a face.
    """
    frames, refs = np.asarray(points, np.float64), np.asarray(references, np.float64)
    distance = np.linalg.norm(frames[:, None] - refs[None], axis=-1).sum(axis=-1).mean(axis=-1)
    present = np.isfinite(distance)
    if not present.any():
        raise ValueError("no frame has a face")
    return FMRefResult(float(distance[present].mean()), float(distance[present].max()), distance)


def slot_rows(track: FaceTrack, values: Floats) -> NDArray[np.float64]:
    """Rows of a per-analysed-frame array at the sampled slots, (T, ...) -> (K, ...), NaN where the slot is missing."""
    picked = np.full((len(track.slots), *values.shape[1:]), np.nan)
    present = track.slot_frames >= 0
    picked[present] = values[np.searchsorted(track.frames, track.slot_frames[present])]
    return picked


def measure_against(track: FaceTrack, references: ReferenceFaces) -> tuple[FMRefResult, FMRefResult, FMRefResult]:
    """The three forms for one clip: in the tight landmark box, in the detector's box, in pose units."""
    points = slot_rows(track, track.points)
    tight = fm_ref(in_box(points, slot_rows(track, track.tight_box)), in_box(references.points, references.tight_box))
    loose = fm_ref(in_box(points, slot_rows(track, track.box)), in_box(references.points, references.box))
    pose = fm_ref(in_pose_units(points), in_pose_units(references.points))
    return tight, loose, pose


def _companion(name: str, title: str, definition: str, unit: str) -> MetricFacts:
    return MetricFacts(name, title, True, unit, (0.0, None), definition, "mmbench")


class FMRef(ClipMetric):
    """Facial motion relative to the reference image."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        name="fm_ref",
        title="FM ref",
        higher_is_better=True,
        unit="face boxes, sum of 5 points",
        range=(0.0, None),
        definition="Mean over 16 sampled frames of the summed distance of the five landmarks to the reference "
        "image's, in coordinates of the tight face box.",
        source="Magic Mirror (arXiv 2501.03931) section 4.1",
        caveats="Measures distance from the reference's pose, not motion: a still face turned away from the "
        "reference scores high. With dlib's landmarks distrust it beyond 30-45 degrees of yaw. Image-to-video "
        "models are usually read against their first frame (fm_ref_cond). References under 400 px are enlarged before "
        "their landmarks are measured, which moves it by up to 8 %: the row says so.",
        column=True,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _companion("fm_ref_max", "FM ref, maximum", "Maximum over the frames, in the detector's box.", "face boxes"),
        _companion(
            "fm_ref_pose",
            "FM ref, box-free",
            "Mean over the frames, about the centroid and in inter-ocular distances: no box is involved.",
            "inter-ocular distances",
        ),
        _companion(
            "fm_ref_cond",
            "FM ref, conditioning frame",
            "As fm_ref, against the conditioning image of an image-to-video model.",
            "face boxes",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FACES, REFERENCES, CONDITION)
    reads = ()

    def update(self, points: Floats, boxes: Floats, ref_points: Floats, ref_boxes: Floats) -> FMRefResult:
        """Add one clip: (K, 5, 2) px and (K, 4) xyxy px, references (R, 5, 2) and (R, 4)."""
        given = (as_array(values) for values in (points, boxes, ref_points, ref_boxes))
        points, boxes, ref_points, ref_boxes = given
        result = fm_ref(in_box(points, boxes), in_box(ref_points, ref_boxes))
        self._add(result.mean)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip."""
        track, references = evidence[FACES], evidence[REFERENCES]
        if missing := too_few_faces("fm_ref", track):
            return [
                missing,
                *(Score.missing(f.name, missing.reason, missing.remedy) for f in self.companions[:2]),
            ]
        tight, loose, pose = measure_against(track, references)
        main = Score.ok(
            "fm_ref",
            tight.mean,
            track.provenance,
            frames=track.slot_frames.tolist(),
            distance=[round(float(d), 6) if np.isfinite(d) else None for d in tight.curve],
        )
        scores = [
            replace(main, notes=references.sizes),
            Score.ok("fm_ref_max", loose.max, track.provenance),
            Score.ok("fm_ref_pose", pose.mean, track.provenance),
        ]
        if (condition := evidence.get(CONDITION)) is not None:  # only image-to-video models have one
            against = measure_against(track, condition)[0]
            scores.append(Score.ok("fm_ref_cond", against.mean, track.provenance))
        return scores
