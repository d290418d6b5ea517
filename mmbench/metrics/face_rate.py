"""Face-detection rate: in how many sampled frames there is a usable face. Ours; keeps vanishing faces honest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.face.needs import FACES
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, MetricFacts, Need
from mmbench.scores import Score


def face_rate(slot_usable: NDArray[np.bool_]) -> float:
    """Share of the sampled slots with a usable face, (K,) -> [0, 1]. Raises ValueError without slots."""
    if len(slot_usable) == 0:
        raise ValueError("a clip without sampled slots has no face rate")
    return float(np.mean(slot_usable))


class FaceRate(ClipMetric):
    """Share of 16 sampled frames with a usable face of the main person."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        name="face_rate",
        title="Face rate",
        higher_is_better=True,
        unit="share",
        range=(0.0, 1.0),
        definition="Share of 16 uniformly sampled frames in which the main face is found and at least 32 px wide.",
        source="mmbench; v2 Table 5 of Magic Mirror reports a related rate per video",
        caveats="Depends on the detector: profiles beyond about 40 degrees and stylised faces are missed. The main "
        "face is the largest for the longest, whoever it is, and one that comes back after a gap is not joined to it: "
        "the row tells of a second prominent face and of a return.",
        column=True,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        MetricFacts(
            "tiny_rate",
            "Tiny faces",
            False,
            "share",
            (0.0, 1.0),
            "Share of sampled frames whose main face is narrower than max(32 px, 4 % of the short side).",
            "mmbench",
        ),
        MetricFacts(
            "multi_face_rate",
            "Several faces",
            False,
            "share",
            (0.0, 1.0),
            "Share of sampled frames with a second face of at least half the main face's area.",
            "mmbench",
        ),
        MetricFacts(
            "second_face_rate",
            "Another face",
            False,
            "share",
            (0.0, 1.0),
            "Share of sampled frames with another face of any size from 32 px: a bystander smaller than half the main "
            "face, or the person beside a larger bystander.",
            "mmbench",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FACES,)
    reads = ()

    def update(self, slot_usable: NDArray[np.bool_]) -> float:
        """Add one clip's (K,) usable flags."""
        value = face_rate(as_array(slot_usable))
        self._add(value)
        return value

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip. A clip without any face scores 0 here, and only here."""
        track = evidence[FACES]
        rows = np.searchsorted(track.frames, track.slots)
        p = track.provenance
        rate = Score.ok("face_rate", face_rate(track.slot_frames >= 0), p, usable_frames=int(track.usable.sum()))
        second = track.multi_face if track.second_face is None else track.second_face
        return [
            replace(rate, notes=track.notes),
            Score.ok("tiny_rate", float(track.tiny[rows].mean()), p),
            Score.ok("multi_face_rate", float(track.multi_face[rows].mean()), p),
            Score.ok("second_face_rate", float(second[rows].mean()), p),
        ]
