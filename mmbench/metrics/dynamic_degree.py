"""Dynamic degree: does the clip move, by VBench's threshold count over optical flow."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.flow.decision import certain_verdict
from mmbench.flow.needs import FLOW
from mmbench.flow.vbench_rule import count_needed, pair_threshold
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score


@dataclass(frozen=True)
class ClipMotion:
    """Whether one clip moves, and how much.

    `hits` pairs lie above the threshold among `seen` scored ones of `pairs`; `degenerate` where the verdict follows
    from too few frames to mean anything; `strength` is the mean score in short sides, None unless every pair was
    scored.
    """

    dynamic: bool
    hits: int
    seen: int
    pairs: int
    degenerate: bool
    strength: float | None


def motion(scores: Sequence[float] | Floats, height: int, width: int, n_sampled: int) -> ClipMotion:
    """VBench's verdict from the pair scores of one clip.

    `scores`, shape (n_sampled - 1,), pixels, NaN where a pair was not scored. A clip is dynamic when at
    least round(4 * n_sampled / 16) pairs score above 6 px * min(height, width) / 256, both as VBench rounds
    them; one sampled frame is never dynamic, two always are (flagged `degenerate`). Raises ValueError when
    the shape is wrong or the scored pairs do not suffice for a certain verdict.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (max(0, n_sampled - 1),):
        raise ValueError(f"expected {max(0, n_sampled - 1)} pair scores, got shape {values.shape}")
    scored = values[~np.isnan(values)]
    needed, pairs = count_needed(n_sampled), len(values)
    hits = int((scored > pair_threshold(height, width)).sum())
    dynamic = certain_verdict(hits, len(scored), pairs, needed)
    if dynamic is None:
        raise ValueError(f"{len(scored)} of {pairs} pairs were scored: too few for a certain verdict")
    complete = pairs > 0 and len(scored) == pairs
    return ClipMotion(
        dynamic=dynamic,
        hits=hits,
        seen=len(scored),
        pairs=pairs,
        degenerate=n_sampled <= 2,
        strength=float(values.mean()) / min(height, width) if complete else None,
    )


class DynamicDegree(ClipMetric):
    """Share of clips that move; `motion_strength` beside it does not saturate."""

    facts = MetricFacts(
        name="dynamic_degree",
        title="Dynamic degree",
        higher_is_better=True,
        unit="share of clips",
        range=(0.0, 1.0),
        definition=(
            "1 when at least round(4 n / 16) of the n - 1 pairs of frames sampled at 8 fps have a mean "
            "length of their longest 5 % of flow vectors above 6 px at 256 px of short side, else 0; mean "
            "over clips."
        ),
        source="VBench (CVPR 2024), dynamic_degree, with RAFT trained on Chairs + Things",
        caveats=(
            "Depends on the stated frame rate; camera motion counts; saturates. One sampled frame is never "
            "dynamic and two always are, as in VBench. With the backend dis the flow is OpenCV's and not "
            "comparable. RAFT's memory grows with the square of the frame's area (1080p: 5.9 GB): beyond "
            "limits.memory, 8 GiB by default, there is no value."
        ),
        column=True,
    )
    companions = (
        MetricFacts(
            name="motion_strength",
            title="Motion strength",
            higher_is_better=True,
            unit="short sides a sampled step",
            range=(0.0, None),
            definition="Mean over pairs of the dynamic degree's pair score, divided by the short side.",
            source="this project",
            caveats="Needs every pair: the full flow mode, or a clip whose verdict took all of them.",
            decimals=4,
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FLOW,)
    reads = ()

    def update(self, scores: Sequence[float] | Floats, height: int, width: int, n_sampled: int) -> ClipMotion:
        """Add one clip, given as to `motion`."""
        result = motion(as_array(scores), int(height), int(width), int(n_sampled))
        self._add(float(result.dynamic))
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The verdict with everything needed to audit it, and the motion strength."""
        flow = evidence[FLOW]
        names = (self.facts.name, self.companions[0].name)
        if flow.reason:
            return [Score.missing(name, flow.reason, flow.remedy) for name in names]
        result = self.update(flow.scores, flow.height, flow.width, flow.n_sampled)
        verdict = Score.ok(
            names[0],
            float(result.dynamic),
            flow.provenance,
            scores=[None if math.isnan(score) else float(score) for score in flow.scores],
            threshold=flow.threshold,
            count_needed=flow.count_needed,
            hits=result.hits,
            n=flow.n_sampled,
            interval=flow.interval,
            fps=flow.fps,
            fps_source=flow.fps_source,
            decided_at=flow.decided_at,
            mode=flow.mode,
            computed=flow.computed,
            repeated=flow.repeated,
            redone=flow.redone,
            degenerate=result.degenerate,
        )
        if result.strength is not None:
            return [verdict, Score.ok(names[1], result.strength, flow.provenance)]
        if result.pairs == 0:
            return [verdict, Score.missing(names[1], "the clip has only one sampled frame")]
        reason = f"the verdict was certain after {result.seen} of {result.pairs} pairs"
        return [verdict, Score.missing(names[1], reason, "Use --flow full to compute every pair.")]
