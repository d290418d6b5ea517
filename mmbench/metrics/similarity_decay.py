"""Similarity decay: how much identity is lost from the first to the last frame (Table 1, SimDecay)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.face.needs import FACES, REFERENCES
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.metrics.id_similarity import DLIB_SIZE, MIN_SLOTS, foreign_embeddings, similarity_curve, too_few_faces
from mmbench.scores import Score


@dataclass(frozen=True)
class DecayResult:
    """`value`: fitted loss of cosine over the whole clip, signed. `stderr`: of the fit, None for exact fits of two."""

    value: float
    intercept: float
    stderr: float


def similarity_decay(similarity: Floats, tau: Floats) -> DecayResult | None:
    """Minus the slope of the least-squares line through (tau, similarity), tau in [0, 1] over the clip.

    similarity, tau: shape (K,), NaN similarity where a slot is missing. None when fewer than four slots are usable
    or they cover less than half of the clip. Positive: identity is lost over time. Source: Magic Mirror section 4.1
    ("drop of face similarity across uniformly sampled frames"); the signed slope is the form that reproduces the
    order of magnitude of the paper's 0.002-0.029.
    """
    s, t = np.asarray(similarity, np.float64), np.asarray(tau, np.float64)
    present = np.isfinite(s) & np.isfinite(t)
    s, t = s[present], t[present]
    if len(s) < MIN_SLOTS or np.ptp(t) < 0.5:
        return None
    design = np.stack([np.ones_like(t), t], axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(design, s, rcond=None)
    residual = s - design @ np.array([intercept, slope])
    spread = np.sqrt((residual**2).sum() / (len(s) - 2) / ((t - t.mean()) ** 2).sum())
    return DecayResult(float(-slope), float(intercept), float(spread))


class SimilarityDecay(ClipMetric):
    """Signed loss of ID similarity over a clip."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        name="similarity_decay",
        title="Similarity decay",
        higher_is_better=False,
        unit="cosine over the clip",
        range=(-2.0, 2.0),
        definition="Minus the slope of a straight line fitted to ID similarity (dlib's recogniser) against time, "
        "over the whole clip.",
        source="Magic Mirror (arXiv 2501.03931) section 4.1",
        caveats="Noise of one clip is about 0.015, so with 200 clips differences under 0.003 mean nothing. "
        "Slightly negative values are noise around zero.",
        column=True,
    )
    needs: ClassVar[Collection[Need[Any]]] = (FACES, REFERENCES)
    reads = ()

    def update(self, similarity: Floats, tau: Floats) -> DecayResult | None:
        """Add one clip's similarity curve (K,) at times tau (K,) in [0, 1]; too short curves are not counted."""
        result = similarity_decay(as_array(similarity), as_array(tau))
        self._add(result.value if result else None)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Score of one clip."""
        track, references = evidence[FACES], evidence[REFERENCES]
        name = self.facts.name
        if missing := too_few_faces(name, track) or foreign_embeddings(name, track, references, DLIB_SIZE, "dlib"):
            return [missing]
        if track.n_frames < 2:
            return [Score.missing(name, "The clip has one frame, and nothing can be lost over it.")]
        tau = np.where(track.slot_frames >= 0, track.slot_frames, np.nan) / max(track.n_frames - 1, 1)
        result = similarity_decay(similarity_curve(track.embeddings, references.embeddings), tau)
        if result is None:
            reason = "The frames with a usable face cover less than half of the clip."
            return [Score.missing("similarity_decay", reason)]
        return [
            Score.ok(
                "similarity_decay",
                result.value,
                track.embedding_provenance,
                stderr=round(result.stderr, 6),
                intercept=round(result.intercept, 6),
            )
        ]
