"""Copying: is the face more like the very picture that the model was shown than like the person's other pictures?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.face.insightface.arcface import EMBEDDING_SIZE as ARCFACE_SIZE
from mmbench.face.needs import ARCFACE, FACES
from mmbench.face.people.bank import unit
from mmbench.face.people.photographs import ARCFACE_PHOTOGRAPHS, PHOTOGRAPHS, Photographs
from mmbench.face.track import FaceTrack
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.metrics.id_similarity import DLIB_SIZE, foreign_embeddings, too_few_faces, usable_rows
from mmbench.scores import Score

SAME = 1e-6
"""Radians: pictures closer together than this are one picture, and have no measure of copying."""


@dataclass(frozen=True)
class CopyResult:
    """`gap`, a cosine difference, and `angle`, a share of the way from another picture of the person to the one shown.

    `shown` and `held_out` are the mean cosines that the gap is made of; `held_out` is the stand-in's where there was
    no such picture.
    """

    gap: float
    angle: float
    shown: float
    held_out: float


def copy_gap(embeddings: Floats, shown: Floats, held_out: Floats) -> CopyResult:
    """How much closer the faces of a clip are to the pictures shown than to the held-out ones of the same person.

    embeddings (K, D): raw recogniser outputs, NaN rows where no face was usable. shown (S, D) and held_out (H, D), or
    (S, V, D) and (H, V, D) with V views of every picture, such as itself and its mirror image: the view most like a
    face counts. Of several pictures shown the one most like each frame counts too: a copy copies one.

    `gap` is cos(g, r) - cos(g, t), and `angle` WithAnyone's copy measure (angle(g, t) - angle(g, r)) / angle(r, t), 0
    where r and t are one picture: 1 is a copy of the picture shown, -1 one of the other picture, 0 neither. Both are
    means over frames and held-out pictures. Source: WithAnyone (arXiv 2510.14975), M_CP, per frame. Raises ValueError
    when no slot has a face.
    """
    faces = _faces(embeddings)
    nearest, to_shown = _nearest(faces, _every_view(shown))
    gaps, angles, cosines = [], [], []
    for other in unit(held_out):
        views = np.atleast_2d(other)
        to_other = (faces @ views.T).max(axis=1)
        between = _radians((nearest @ views.T).max(axis=1))
        apart = between > SAME
        moved = _radians(to_other) - _radians(to_shown)
        angles.append(np.where(apart, moved / np.where(apart, between, 1.0), 0.0).mean())
        gaps.append((to_shown - to_other).mean())
        cosines.append(to_other.mean())
    return CopyResult(*(float(np.mean(values)) for values in (gaps, angles, to_shown, cosines)))


def copy_gap_typical(embeddings: Floats, shown: Floats, degrees: float, cosine: float) -> CopyResult:
    """The same for a person without a held-out picture: a typical one stands in.

    Two pictures of a person lie `degrees` apart and have this `cosine` there. An honest face is as far from the picture
    shown as another picture of the person is: 0; a copy is there: 1.
    Raises ValueError when no slot has a face.
    """
    _, to_shown = _nearest(_faces(embeddings), _every_view(shown))
    typical, mean = np.radians(degrees), float(to_shown.mean())
    angle = (typical - _radians(to_shown)) / typical
    return CopyResult(mean - cosine, float(angle.mean()), mean, cosine)


def _every_view(pictures: Floats) -> NDArray[np.float64]:
    """(P, D) or (P, V, D) -> (P V, D), of length 1."""
    views = unit(pictures)
    return views.reshape(-1, views.shape[-1])


def _faces(embeddings: Floats) -> NDArray[np.float64]:
    present = usable_rows(embeddings)
    if not present.any():
        raise ValueError("no slot has a face")
    return unit(np.asarray(embeddings, np.float64)[present])


def _nearest(faces: NDArray[np.float64], shown: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The view shown that each face is most like, (K, D), and their cosine, (K,)."""
    alike = faces @ shown.T
    best = alike.argmax(axis=1)
    return shown[best], alike[np.arange(len(faces)), best]


def _radians(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    angle: NDArray[np.float64] = np.arccos(np.clip(cosine, -1.0, 1.0))
    return angle


def _facts(suffix: str, recogniser: str, stand_in: str) -> tuple[MetricFacts, MetricFacts]:
    of = f" ({recogniser})" if suffix else ""
    gap = MetricFacts(
        name=f"copy_gap{suffix}",
        title=f"Copy gap{of}",
        higher_is_better=False,
        unit="cosine difference",
        range=(-2.0, 2.0),
        definition="Similarity of the face to the picture shown to the model minus its similarity to the person's "
        f"held-out pictures, each as it is or mirrored, mean over the sampled frames, by {recogniser}'s recogniser.",
        source="mmbench; after the copy-paste measure of WithAnyone (arXiv 2510.14975)",
        caveats="Below 0 is no merit: a stranger is no copy. The size of the gap follows the recogniser and how unlike "
        f"the person's pictures are: read copy_angle{suffix} between sets. {stand_in}",
        beside=not suffix,
    )
    angle = MetricFacts(
        name=f"copy_angle{suffix}",
        title=f"Copy angle{of}",
        higher_is_better=False,
        unit="share",
        range=(None, None),
        definition="How much of the angle from the person's held-out picture to the picture shown the face has gone: "
        "1 is a copy of the picture shown, 0 is as near to one as to the other; mean over frames and held-out "
        "pictures, each as it is or mirrored.",
        source="WithAnyone (arXiv 2510.14975), M_CP, per frame of a video",
        caveats="Clips of the right person scatter by some 0.2 about 0. Only the middle of a photograph's face, cut "
        f"out along the landmarks and pasted on somebody moving, may stay below 0.3. {stand_in}",
    )
    return gap, angle


STAND_IN = (
    "For a person without a held-out picture a typical second one stands in: from the run's own people or, where "
    "fewer than 5 have two, from photographs of 9 people, 13.9 degrees apart (rendered people, 7.7 apart, then read "
    "too high). On nine published clips of one photograph each copy_angle is -1.0 to -0.4, for the photograph shown "
    "whole in their place 0.25 to 0.9, for its face pasted on them 0.0 to 0.6: the order is right, the limit of 0.3 "
    "rests on few people."
)


class CopyGap(ClipMetric):
    """Copying of the reference picture, by dlib's recogniser."""

    _both = _facts(
        "",
        "dlib",
        STAND_IN,
    )
    facts: ClassVar[MetricFacts] = _both[0]
    companions: ClassVar[tuple[MetricFacts, ...]] = _both[1:]
    needs: ClassVar[Collection[Need[Any]]] = (FACES, PHOTOGRAPHS)
    reads = ()

    def update(self, embeddings: Floats, shown: Floats, held_out: Floats) -> CopyResult:
        """Add one clip's (K, D) embeddings with the (S, D) of the pictures shown and the (H, D) of held-out ones."""
        result = copy_gap(as_array(embeddings), as_array(shown), as_array(held_out))
        self._add(result.gap)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip."""
        return measure_copying(self.all_facts(), evidence[FACES], evidence[PHOTOGRAPHS], DLIB_SIZE, "dlib")


class CopyGapArcFace(CopyGap):
    """Copying of the reference picture, by ArcFace."""

    _both = _facts("_arcface", "ArcFace", "Missing for a person without a held-out picture in a run of fewer than 5 "
                   "people who have two.")  # fmt: skip
    facts: ClassVar[MetricFacts] = _both[0]
    companions: ClassVar[tuple[MetricFacts, ...]] = _both[1:]
    needs: ClassVar[Collection[Need[Any]]] = (ARCFACE, ARCFACE_PHOTOGRAPHS)

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip."""
        track, photographs = evidence[ARCFACE], evidence[ARCFACE_PHOTOGRAPHS]
        return measure_copying(self.all_facts(), track, photographs, ARCFACE_SIZE, "ArcFace")


def measure_copying(
    facts: tuple[MetricFacts, ...], track: FaceTrack, photographs: Photographs, size: int, whose: str
) -> list[Score]:
    """The two scores named in `facts` for one clip, of embeddings with `size` numbers by `whose` recogniser."""
    gap, angle = (fact.name for fact in facts)
    references = photographs.faces
    both = (references.embeddings,) if references.mirrored is None else (references.embeddings, references.mirrored)
    views = np.stack(both, axis=1)
    shown, held_out = views[photographs.shown], views[~photographs.shown]
    missing = too_few_faces(gap, track) or foreign_embeddings(gap, track, references, size, whose)
    likeness = photographs.likeness
    if missing is None and not len(held_out) and likeness is None:
        missing = Score.missing(
            gap,
            "The person has no held-out picture, and too few people of the run have two to stand in for one.",
            "Add other pictures of the person to the references, and name the one that was given under `shown`.",
        )
    if missing is not None:
        return [missing, Score.missing(angle, missing.reason, missing.remedy)]
    notes: tuple[str, ...] = ()
    bank = ""
    if len(held_out):
        result = copy_gap(track.embeddings, shown, held_out)
        how = f"{len(held_out)} held-out pictures of the person"
    else:
        assert likeness is not None
        result = copy_gap_typical(track.embeddings, shown, likeness.degrees, likeness.cosine)
        how, bank = f"{likeness.people} {likeness.whose}", photographs.bank
        notes = (
            f"no_held_out: the person has no held-out picture; {how} say how alike one would be, for the copy gap.",
        )
    made_by = track.embedding_provenance
    details = {"against": how, "shown": round(result.shown, 6), "held_out": round(result.held_out, 6)}
    scores = [Score.ok(gap, result.gap, made_by, **details), Score.ok(angle, result.angle, made_by)]
    return [replace(score, notes=notes, bank=bank) for score in scores]
