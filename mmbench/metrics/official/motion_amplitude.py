"""OpenS2V's motion amplitude: the mean of signed flow components, so that movements cancel."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.flow.farneback import FARNEBACK
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score


@dataclass(frozen=True)
class MotionAmplitude:
    """`value` as OpenS2V has it; `length`, in the same px a frame, is the mean length of the same flow vectors."""

    value: float
    length: float


def motion_amplitude(maps: Floats) -> MotionAmplitude:
    """|mean over cells and both components of the mean flow over time|, px a frame; maps (P, h, w, 2).

    Left cancels right, up cancels down, and right cancels up. Raises ValueError without a pair.
    """
    flows = np.asarray(maps, np.float64)
    if not len(flows):
        raise ValueError("motion is between frames: one pair at least")
    value = abs(float(flows.mean(axis=0).mean()))
    return MotionAmplitude(value, float(np.linalg.norm(flows, axis=-1).mean()))


class MotionAmplitudeMetric(ClipMetric):
    """The original's number, its share of OpenS2V's total, and the mean length of the same vectors beside them."""

    facts = MetricFacts(
        name="motion_amplitude",
        title="Motion amplitude (OpenS2V)",
        higher_is_better=True,
        unit="px a frame",
        range=(0.0, None),
        definition=(
            "Absolute value of the mean of all signed components, x and y alike, of Farneback's flow (0.5, 3, 15, 3, "
            "5, 1.2) between all neighbouring frames, averaged over time first and to 16 cells across."
        ),
        source="OpenS2V-Nexus (NeurIPS 2025), eval/get_motionscore.py",
        caveats=(
            "Components are signed: a head that turns and turns back scores 0, and so does a pan to the upper right; a "
            "pan to the lower right scores most. It measures the drift of the camera along one diagonal. In pixels: "
            "larger frames score more. Read motion_length, fm_inter_local and motion_strength."
        ),
        decimals=3,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        MetricFacts(
            name="motion_amplitude_opens2v",
            title="Motion amplitude (OpenS2V's scale)",
            higher_is_better=True,
            unit="share",
            range=(0.0, 1.0),
            definition="The motion amplitude cut at 1, as OpenS2V's total takes it.",
            source="OpenS2V-Nexus (NeurIPS 2025)",
        ),
        MetricFacts(
            name="motion_length",
            title="Motion length",
            higher_is_better=True,
            unit="px a frame",
            range=(0.0, None),
            definition="Mean length of the same averaged flow vectors, in which nothing cancels over time.",
            source="mmbench",
            caveats="In pixels, and a moving camera moves it.",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FARNEBACK,)
    reads = ()

    def update(self, maps: Floats) -> MotionAmplitude:
        """Add one clip: flow maps (P, h, w, 2) in px."""
        result = motion_amplitude(as_array(maps))
        self._add(result.value)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The three numbers; missing for a clip of one frame."""
        seen, names = evidence[FARNEBACK], [facts.name for facts in self.all_facts()]
        if not len(seen.maps):
            return [Score.missing(name, "The clip has one frame, and motion is between frames.") for name in names]
        result = self.update(seen.maps)
        values = (result.value, min(1.0, result.value), result.length)
        return [Score.ok(name, value, seen.provenance) for name, value in zip(names, values, strict=True)]
