"""Identity by pose, by size and over time: where a clip keeps its person, and where nobody can tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.face.needs import FACES, REFERENCES
from mmbench.face.pose import face_size, yaw_of
from mmbench.face.track import FaceTrack
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.metrics.id_similarity import DLIB_SIZE, foreign_embeddings, similarity_curve, too_few_faces
from mmbench.scores import Score

Edges = Mapping[str, tuple[float, float]]
YAWS: Edges = {"front": (0.0, 15.0), "turned": (15.0, 35.0), "side": (35.0, 90.0)}
"""Bins of the absolute yaw in degrees, the lower edge in."""
SIZES: Edges = {"small": (0.0, 0.2), "medium": (0.2, 0.4), "large": (0.4, np.inf)}
"""Bins of the height of the face's tight box in short sides of the frame, the lower edge in."""
AWAY = 1.0
"""Seconds without a face after which somebody returns."""
AFTER = 1.0
"""Seconds after a return that count."""


@dataclass(frozen=True)
class Bin:
    """`share` of the frames with a face, and the mean cosine over the sampled ones among them; None without such."""

    share: float
    similarity: float | None
    sampled: int


@dataclass(frozen=True)
class OverTime:
    """`per_second`: fitted loss of cosine a second. `returned`: mean cosine just after returns minus that before each.

    `returns` counts them; both values are None where they cannot be told.
    """

    per_second: float | None
    returned: float | None
    returns: int
    seconds: tuple[float | None, ...]


def binned(values: Floats, at_slots: Floats, similarity: Floats, edges: Edges) -> dict[str, Bin]:
    """Shares and similarities by bins of a quantity.

    values (F,): the quantity in every frame with a face. at_slots (K,) and similarity (K,): it and the cosine in the
    sampled frames, NaN where there is no face.
    """
    every, sampled = np.asarray(values, np.float64), np.asarray(at_slots, np.float64)
    cosines = np.asarray(similarity, np.float64)
    found = {}
    for name, (low, high) in edges.items():
        inside = (sampled >= low) & (sampled < high) & np.isfinite(cosines)
        share = float(((every >= low) & (every < high)).mean()) if len(every) else 0.0
        found[name] = Bin(share, float(cosines[inside].mean()) if inside.any() else None, int(inside.sum()))
    return found


def over_time(similarity: Floats, seconds: Floats, seen: Floats) -> OverTime:
    """Loss a second, means of every second, and what is left of identity after the face was gone.

    similarity (K,) at `seconds` (K,), NaN where there is no face; seen (F,) are the times of all frames with a face. A
    return is a face after more than a second without one; it counts where a cosine is known within a second after it,
    and one anywhere before.
    """
    s, t = np.asarray(similarity, np.float64), np.asarray(seconds, np.float64)
    known = np.isfinite(s) & np.isfinite(t)
    s, t = s[known], t[known]
    slope = None
    if len(s) >= 4 and np.ptp(t) > 0:
        slope = -float(np.polyfit(t - t.mean(), s, 1)[0])
    times = np.sort(np.asarray(seen, np.float64))
    changes = []
    for gone, back in pairwise(times.tolist()):
        before, after = s[t <= gone + 1e-9], s[(t >= back - 1e-9) & (t < back + AFTER)]
        if back - gone > AWAY and len(before) and len(after):
            changes.append(float(after.mean() - before.mean()))
    each = [s[(t >= k) & (t < k + 1)] for k in range(int(t.max()) + 1)] if len(t) else []
    means = tuple(float(part.mean()) if len(part) else None for part in each)
    return OverTime(slope, float(np.mean(changes)) if changes else None, len(changes), means)


def _facts(name: str, title: str, definition: str, caveats: str = "", **other: Any) -> MetricFacts:
    usual: dict[str, Any] = {"higher_is_better": True, "unit": "cosine", "range": (-1.0, 1.0)}
    return MetricFacts(
        name=name, title=title, definition=definition, source="mmbench", caveats=caveats, **usual | other
    )


def _of_bin(quantity: str, name: str, where: str) -> tuple[MetricFacts, MetricFacts]:
    return (
        _facts(
            f"id_{quantity}_{name}",
            f"ID similarity, {where}",
            f"Mean cosine over the sampled frames {where}.",
            SCALE + LOST if quantity == "yaw" else SCALE,
        ),
        _facts(
            f"share_{quantity}_{name}",
            f"Frames {where}",
            f"Share of the frames with a usable face that are {where}.",
            "No better or worse: it says how much the similarity of that bin is made of."
            + (LOST if quantity == "yaw" else ""),
            unit="share",
            range=(0.0, 1.0),
        ),
    )


SCALE = "dlib's cosines are compressed: 0.93 is a stranger. A clip without a sampled frame of that kind has no value."
LOST = (
    " Yaw is read off landmarks: beyond some 40 degrees dlib's are lost, and most such faces read as less turned "
    "(`reports/validity` has the shares in the right bin). The face backends insightface and retinaface have five "
    "points, and one mean nose."
)
WHERE_YAW = {name: f"at {low:g} to {high:g} degrees of yaw" for name, (low, high) in YAWS.items()}
WHERE_SIZE = {
    name: f"with a face of {low:g} {'or more' if np.isinf(high) else f'to {high:g}'} short sides"
    for name, (low, high) in SIZES.items()
}


class PoseSize(ClipMetric):
    """Similarity of near-frontal faces; of the other bins of yaw and size, the shares, and time as companions."""

    facts = _facts(
        "id_yaw_front",
        "ID similarity, frontal",
        f"Mean cosine over the sampled frames {WHERE_YAW['front']}.",
        SCALE + LOST,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _of_bin("yaw", "front", WHERE_YAW["front"])[1],
        *(facts for name in ("turned", "side") for facts in _of_bin("yaw", name, WHERE_YAW[name])),
        *(facts for name in SIZES for facts in _of_bin("size", name, WHERE_SIZE[name])),
        _facts(
            "id_loss_per_second",
            "ID loss a second",
            "Minus the slope of a straight line fitted to ID similarity against seconds: similarity decay, made fair "
            "between clips of different length.",
            "The frame rate is what the file claims. Noise of one clip is about 0.005 for three seconds.",
            higher_is_better=False,
            unit="cosine a second",
            range=(None, None),
        ),
        _facts(
            "id_after_return",
            "ID change over an absence",
            "Mean cosine within a second after the face was gone for more than a second, minus that before; mean over "
            "returns.",
            "Few clips have a return; the face is joined by overlap and size, so somebody else may have taken its "
            "place.",
            range=(-2.0, 2.0),
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FACES, REFERENCES)
    reads = ("fps",)
    revision = 2

    def update(self, values: Floats, at_slots: Floats, similarity: Floats) -> dict[str, Bin]:
        """Add one clip by its absolute yaws, given as to `binned`; one without a frontal sample is not counted."""
        result = binned(as_array(values), as_array(at_slots), as_array(similarity), YAWS)
        self._add(result["front"].similarity)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Every bin of yaw and size, and the two numbers over time."""
        track, references = evidence[FACES], evidence[REFERENCES]
        names = [facts.name for facts in self.all_facts()]
        for name in names:
            missing = too_few_faces(name, track) or foreign_embeddings(name, track, references, DLIB_SIZE, "dlib")
            if missing:
                return [Score.missing(each, missing.reason, missing.remedy) for each in names]
        similarity = similarity_curve(track.embeddings, references.embeddings)
        found: dict[str, Score] = {}
        for quantity, edges, values in (
            ("yaw", YAWS, np.abs(yaws_of(track))),
            ("size", SIZES, face_size(track.tight_box, track.width, track.height)),
        ):
            at_slots = _at_slots(track, values)
            bins = binned(values[track.usable], at_slots, similarity, edges)
            for name, of_bin in bins.items():
                found.update(_scores(f"{quantity}_{name}", of_bin, track))
        self._add(found["id_yaw_front"].value)
        found.update(_time_scores(track, similarity))
        return [found[name] for name in names]


def yaws_of(track: FaceTrack) -> NDArray[np.float64]:
    """Signed yaw in degrees of each frame of a track, (T,): of 68 points where the detector has them, else of five."""
    return yaw_of(track.points if track.points68 is None else track.points68)


def _at_slots(track: FaceTrack, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values (T,) of the frames that stand in for the slots, (K,); NaN for a slot without a face."""
    at = np.full(len(track.slots), np.nan)
    present = track.slot_frames >= 0
    at[present] = values[np.searchsorted(track.frames, track.slot_frames[present])]
    return at


def _scores(name: str, of_bin: Bin, track: FaceTrack) -> dict[str, Score]:
    provenance = track.embedding_provenance
    similarity = (
        Score.missing(f"id_{name}", "no sampled frame is of that kind", "")
        if of_bin.similarity is None
        else Score.ok(f"id_{name}", of_bin.similarity, provenance, sampled=of_bin.sampled)
    )
    return {f"id_{name}": similarity, f"share_{name}": Score.ok(f"share_{name}", of_bin.share, track.provenance)}


def _time_scores(track: FaceTrack, similarity: NDArray[np.float64]) -> dict[str, Score]:
    seconds = np.where(track.slot_frames >= 0, track.slot_frames, np.nan) / track.fps
    result = over_time(similarity, seconds, track.frames[track.usable] / track.fps)
    provenance = track.embedding_provenance
    loss, back = "id_loss_per_second", "id_after_return"
    found = {
        loss: Score.missing(loss, "the frames with a face are too few or too close together", ""),
        back: Score.missing(back, f"no face returns after {AWAY:g} s without one", ""),
    }
    if result.per_second is not None:
        found[loss] = Score.ok(loss, result.per_second, provenance, seconds=list(result.seconds))
    if result.returned is not None:
        found[back] = Score.ok(back, result.returned, provenance, returns=result.returns)
    return found
