"""VBench-2.0's human identity: does everybody in the clip look like its first frame? No reference picture is read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.face.official.same_person import HUMAN_IDENTITY
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score

ALIKE = 0.4
LEAST = 20
"""Frames that must count, else the clip has no value."""


@dataclass(frozen=True)
class HumanIdentity:
    """`value` is the share of the `counted` frames, the first left out; `empty` of these had no face."""

    value: float
    counted: int
    empty: int


def human_identity(faces: Floats, cosines: Floats) -> HumanIdentity | None:
    """Share of frames whose only face has a cosine of 0.4 or more with the first frame's.

    faces (N,): number of faces of each frame; cosines (N,), NaN where there is not exactly one. A frame with several
    faces does not count, one without any counts as alike: RetinaFace's package returns one face without a box there.
    None where the first frame has not exactly one face, or fewer than 20 frames count.
    """
    count, alike = np.asarray(faces), np.asarray(cosines, np.float64)
    if not len(count) or count[0] != 1 or np.isnan(alike[0]):
        return None
    empty = count[1:] == 0
    counts = (count[1:] == 1) | empty
    same = empty | (alike[1:] >= ALIKE)
    if counts.sum() < LEAST:
        return None
    return HumanIdentity(float(same[counts].mean()), int(counts.sum()), int(empty.sum()))


class HumanIdentityMetric(ClipMetric):
    """The share, or why the clip has none."""

    facts = MetricFacts(
        name="human_identity",
        title="Human identity (VBench-2.0)",
        higher_is_better=True,
        unit="share",
        range=(0.0, 1.0),
        definition=(
            "Share of frames after the first whose only face (RetinaFace at 2048 px, box squeezed to 128 x 128 grey) "
            "has a cosine of 0.4 or more with the first frame's by ArcFace-ResNet18 (with its mirror image); frames "
            "with several faces are left out, and clips whose first frame has not exactly one face or with fewer "
            "than 20 frames that count."
        ),
        source="VBench-2.0 (2025), human_identity.py",
        caveats=(
            "No reference is read: a stranger who stays the same is perfect, and so is a still picture. Frames without "
            "a face count as alike, so a person who vanishes is perfect too. Faces are not aligned, so turning costs. "
            "The original draws a green frame around each face before it cuts it out. Slow without a GPU."
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (HUMAN_IDENTITY,)
    reads = ()

    def update(self, faces: Floats, cosines: Floats) -> HumanIdentity | None:
        """Add one clip, given as to `human_identity`; clips without a value are not counted."""
        result = human_identity(as_array(faces), as_array(cosines))
        self._add(None if result is None else result.value)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The share."""
        seen = evidence[HUMAN_IDENTITY]
        if (result := self.update(seen.faces.astype(np.float64), seen.cosines)) is None:
            first = int(seen.faces[0]) if len(seen.faces) else 0
            why = (
                f"the first frame has {first} faces, and the protocol takes exactly one"
                if first != 1
                else f"fewer than {LEAST} frames after the first have one face or none"
            )
            return [Score.missing(self.facts.name, why, "")]
        details = {"counted": result.counted, "without_face": result.empty}
        return [Score.ok(self.facts.name, result.value, seen.provenance, **details)]
