"""Text alignment: how close ViCLIP sees the clip and its prompt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from mmbench.encode.needs import VIDEO_TEXT
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score
from mmbench.trigger import without_trigger

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings

PromptField = Literal["short", "long"]


@dataclass(frozen=True)
class Alignment:
    """Cosine of the video and text features, in [-1, 1]."""

    cosine: float


def alignment(video: Floats, text: Floats) -> Alignment:
    """Cosine of two features of one length, each normalised here. Raises ValueError for a zero or NaN feature."""
    norms = np.linalg.norm(video), np.linalg.norm(text)
    if not all(np.isfinite(norm) and norm > 0 for norm in norms):
        raise ValueError(f"features have the lengths {norms[0]} and {norms[1]}: no direction to compare")
    return Alignment(float(np.dot(video / norms[0], text / norms[1])))


class TextAlignment(ClipMetric):
    """VBench's overall consistency. `prompt` chooses which of an item's two prompts is scored against."""

    facts = MetricFacts(
        name="text_alignment",
        title="Text alignment",
        higher_is_better=True,
        unit="cosine",
        range=(-1.0, 1.0),
        definition=(
            "Cosine of ViCLIP-L/14's features of 8 frames (middles of 8 equal parts, 224 px, centre crop) and of "
            "the short prompt without trigger word, cut at 32 tokens; mean over clips."
        ),
        source="VBench (CVPR 2024), overall_consistency, with ViCLIP of InternVid-10M-FLT",
        caveats=(
            "Trained values lie in about 0.15-0.27. Only the first 30 word pieces of a prompt are read: with an "
            "enhanced prompt that is its first clause. Of wide clips the sides are cut away."
        ),
        column=True,
    )
    needs: ClassVar[Collection[Need[Any]]] = (VIDEO_TEXT,)

    def __init__(self, prompt: PromptField = "short") -> None:
        super().__init__()
        self.prompt = prompt
        self.reads = ("prompt" if prompt == "short" else "prompt_long",)

    @classmethod
    def from_settings(cls, settings: EvaluateSettings) -> Self:
        """`text.prompt` is the prompt."""
        return cls(settings.text.prompt)

    def update(self, video: Floats, text: Floats) -> Alignment:
        """Add one clip, given as to `alignment`; in float32, the precision of the features."""
        result = alignment(as_array(video, np.float32), as_array(text, np.float32))
        self._add(result.cosine)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The cosine, with the prompt as it was read and how much of it did not fit."""
        item, seen = evidence.item, evidence[VIDEO_TEXT]
        given = item.prompt if self.prompt == "short" else item.prompt_long
        prompt = without_trigger(given or "")
        if not prompt:
            remedy = "Give one per clip: --prompts CSV, or the manifest's column."
            return [Score.missing(self.facts.name, f"the clip has no {self.prompt} prompt", remedy)]
        text = seen.encoder.text(prompt)
        result = self.update(seen.video, text.feature)
        score = Score.ok(
            self.facts.name,
            result.cosine,
            seen.provenance,
            prompt=prompt,
            prompt_field=self.prompt,
            pieces=text.pieces,
            dropped=text.dropped,
            truncated=text.dropped > 0,
            variant=f"{self.prompt} prompt",
            **({"remark": "the prompt was cut at 32 tokens"} if text.dropped else {}),
            frames=list(seen.indices),
        )
        return [score]
