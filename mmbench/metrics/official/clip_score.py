"""CLIPScore as ConsisID prints it, beside the same with the colours in order; and OpenS2V's aesthetic score."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.encode.needs import AESTHETIC, CLIP_FRAMES
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score
from mmbench.trigger import without_trigger

LOWEST, HIGHEST = 4.0, 7.0
"""Between which OpenS2V spreads aesthetic scores when it adds them up."""


@dataclass(frozen=True)
class ClipScore:
    """`value` is the mean over frames, `per_frame` are its parts."""

    value: float
    per_frame: tuple[float, ...]


def clip_score(frames: Floats, text: Floats, scale: float = 100.0) -> ClipScore:
    """`scale` times the cosine of each frame's feature (F, D) and the prompt's (D,), and their mean (Hessel 2021).

    Without that paper's factor 2.5 and without its cut at 0, as transformers' `logits_per_image`. Raises ValueError for
    a feature of length 0.
    """
    pictures, words = np.asarray(frames, np.float64), np.asarray(text, np.float64)
    lengths = np.linalg.norm(pictures, axis=1) * np.linalg.norm(words)
    if not (lengths > 0).all():
        raise ValueError("a feature has no direction to compare")
    values = scale * (pictures @ words) / lengths
    return ClipScore(float(values.mean()), tuple(values.tolist()))


class ClipScoreMetric(ClipMetric):
    """The mean cosine of 16 frames and the short prompt; ConsisID's red-for-blue value is a companion."""

    facts = MetricFacts(
        name="clip_score",
        title="CLIPScore",
        higher_is_better=True,
        unit="100 x cosine",
        range=(-100.0, 100.0),
        definition=(
            "100 x cosine of CLIP ViT-B/32's features of a frame and of the short prompt without trigger word (cut at "
            "77 tokens), mean over the 16 frames int(i N / 16)."
        ),
        source="ConsisID (CVPR 2025), eval/get_clipscore.py, with the colours in order",
        caveats=(
            "Single frames: actions are judged by poses. The last sixteenth of a clip is never seen. Values lie in "
            "about 20-35; the prompt's subject weighs more than what it does."
        ),
        decimals=2,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        MetricFacts(
            name="clip_score_bgr",
            title="CLIPScore (ConsisID)",
            higher_is_better=True,
            unit="100 x cosine",
            range=(-100.0, 100.0),
            definition="As clip_score, red and blue exchanged: ConsisID's script hands OpenCV's frames on as they are.",
            source="ConsisID (CVPR 2025), eval/get_clipscore.py",
            caveats="A blue-skinned person is judged. Only for comparing with numbers of that script.",
            decimals=2,
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (CLIP_FRAMES,)
    reads = ("prompt",)

    def update(self, frames: Floats, text: Floats, scale: float = 100.0) -> ClipScore:
        """Add one clip, given as to `clip_score`."""
        result = clip_score(as_array(frames), as_array(text), scale)
        self._add(result.value)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Both values, with the prompt as it was read."""
        names = [facts.name for facts in self.all_facts()]
        seen, prompt = evidence[CLIP_FRAMES], without_trigger(evidence.item.prompt or "")
        if not prompt:
            remedy = "Give one per clip: --prompts CSV, or the manifest's column."
            return [Score.missing(name, "the clip has no short prompt", remedy) for name in names]
        text, dropped = seen.eyes.text(prompt)
        values = [
            self.update(seen.vectors["rgb"], text, seen.eyes.scale),
            clip_score(seen.vectors["bgr"], text, seen.eyes.scale),
        ]
        return [
            Score.ok(
                name,
                result.value,
                seen.eyes.provenance,
                prompt=prompt,
                dropped=dropped,
                frames=list(seen.indices),
                per_frame=list(result.per_frame),
            )
            for name, result in zip(names, values, strict=True)
        ]


class Aesthetic(ClipMetric):
    """LAION's aesthetic score of 32 frames, as OpenS2V takes it; its share of OpenS2V's total is a companion."""

    facts = MetricFacts(
        name="aesthetic",
        title="Aesthetic score (LAION)",
        higher_is_better=True,
        unit="points of 10",
        range=(None, None),
        definition=(
            "LAION's linear head on CLIP ViT-L/14's unit feature of a frame, mean over 32 frames (linspace cut off to "
            "whole numbers)."
        ),
        source="OpenS2V-Nexus (NeurIPS 2025), eval/get_aesscore.py; improved-aesthetic-predictor",
        caveats=(
            "Nothing of the person, nothing of motion: a photograph held still scores as its picture does, so that "
            "vanishing and copying cost nothing. Only the centre square is seen."
        ),
        decimals=2,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        MetricFacts(
            name="aesthetic_opens2v",
            title="Aesthetics (OpenS2V's scale)",
            higher_is_better=True,
            unit="share",
            range=(0.0, 1.0),
            definition="The aesthetic score cut to 4 and 7 and spread to 0 and 1, as OpenS2V's total takes it.",
            source="OpenS2V-Nexus (NeurIPS 2025)",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (AESTHETIC,)
    reads = ()

    def update(self, scores: Floats) -> float:
        """Add one clip: the head's score of every frame, (F,)."""
        value = float(as_array(scores, np.float64).mean())
        self._add(value)
        return value

    def measure(self, evidence: Evidence) -> list[Score]:
        """The mean, and its share of OpenS2V's total."""
        seen = evidence[AESTHETIC]
        per_frame = seen.eyes.aesthetic(seen.vectors["rgb"])
        value, provenance = self.update(per_frame), seen.eyes.provenance
        share = (min(max(value, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
        own, of_total = (facts.name for facts in self.all_facts())
        return [
            Score.ok(own, value, provenance, frames=list(seen.indices), per_frame=per_frame.tolist()),
            Score.ok(of_total, share, provenance),
        ]
