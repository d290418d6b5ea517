"""Motion smoothness: how much the motion of each point changes from one sampled frame to the next."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.flow.needs import SMOOTH_FLOW
from mmbench.flow.smoothness import SmoothnessTerm
from mmbench.metrics.arrays import as_array, as_number
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score

BROKEN_CADENCE = 0.8
SUSPECT = f"above {BROKEN_CADENCE}: stop-and-go from frame to frame, as of repeated frames or trembling"
"""Above this a clip most likely repeats frames (measured: 0.84 to 0.87 with every third frame doubled)."""


@dataclass(frozen=True)
class Smoothness:
    """The smoothness of one clip.

    The mean ratio in [0, 1], the mean acceleration in short sides a step squared, the mean share of pixels that could
    be compared, and how many of the terms could.
    """

    value: float
    acceleration: float
    valid: float
    terms: int


def smoothness(terms: Sequence[SmoothnessTerm]) -> Smoothness | None:
    """Mean over time of the terms that compared any pixel; None when there is none (fewer than 3 frames)."""
    usable = [term for term in terms if term.valid > 0]
    if not usable:
        return None
    return Smoothness(
        value=float(np.mean([term.ratio for term in usable])),
        acceleration=float(np.mean([term.acceleration for term in usable])),
        valid=float(np.mean([term.valid for term in terms])),
        terms=len(usable),
    )


class MotionSmoothness(ClipMetric):
    """0 for motion at constant velocity along trajectories, 1 for stop-and-go or reversal at each frame."""

    facts = MetricFacts(
        name="motion_smoothness",
        title="Motion smoothness",
        higher_is_better=False,
        unit="share of flow length",
        range=(0.0, 1.0),
        definition=(
            "Mean over sampled frames of sum |G - F| / sum (|G| + |F| + eps), F the flow of one step and G that "
            "of the next pulled back along F, over pixels that stay in the picture; eps is 0.05 px at 480 px."
        ),
        source="this project's reading of Magic Mirror's Table 1 (cross-frame flow consistency), metrics 6",
        caveats=(
            "The paper gives no formula. Not VBench's motion_smoothness (frame interpolation, higher is better). "
            "Repeated frames drive it to about 0.85. Needs three sampled frames and every pair's flow."
        ),
        column=True,
    )
    companions = (
        MetricFacts(
            name="flow_acceleration",
            title="Flow acceleration",
            higher_is_better=False,
            unit="short sides a sampled step squared",
            range=(0.0, None),
            definition="Mean over sampled frames and pixels of |G - F| divided by the short side.",
            source="this project",
            caveats="Absolute: a clip that hardly moves scores low.",
            decimals=5,
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (SMOOTH_FLOW,)
    reads = ()

    def update(self, terms: Sequence[SmoothnessTerm] | Floats) -> Smoothness | None:
        """Add one clip, given as to `smoothness`; or as rows of (ratio, acceleration, valid), shape (terms, 3)."""
        result = smoothness([_term(term) for term in terms])
        self._add(result.value if result else None)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The mean with its terms, and the acceleration."""
        flow = evidence[SMOOTH_FLOW]
        if flow.reason:
            return self._missing(flow.reason, flow.remedy)
        if flow.smoothness is None:
            return self._missing("the flow ran in early mode", "Use --flow full: every pair is needed.")
        result = self.update(flow.smoothness)
        if result is None and flow.n_sampled < 3:
            return self._missing(f"three sampled frames are needed, the clip has {flow.n_sampled}")
        if result is None:
            return self._missing("every point leaves the picture within one step")
        ratios = [None if math.isnan(term.ratio) else term.ratio for term in flow.smoothness]
        value = Score.ok(
            self.facts.name,
            result.value,
            flow.provenance,
            ratios=ratios,
            valid=result.valid,
            n=flow.n_sampled,
            **({"remark": SUSPECT} if result.value > BROKEN_CADENCE else {}),
        )
        return [value, Score.ok(self.companions[0].name, result.acceleration, flow.provenance)]

    def _missing(self, reason: str, remedy: str = "") -> list[Score]:
        return [Score.missing(facts.name, reason, remedy) for facts in self.all_facts()]


def _term(term: SmoothnessTerm | Floats) -> SmoothnessTerm:
    """A term of plain numbers."""
    if isinstance(term, SmoothnessTerm):
        return SmoothnessTerm(*(as_number(value) for value in (term.ratio, term.acceleration, term.valid)))
    ratio, acceleration, valid = as_array(term).tolist()
    return SmoothnessTerm(ratio, acceleration, valid)
