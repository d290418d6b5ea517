"""What every metric is made of: its facts, what it needs, and how it turns evidence into scores.

A metric file holds, in this order: a pure function on arrays with a typed result, then one small class with the
metric's facts. The class serves two callers: `update`/`compute`/`merge_state` for anyone with arrays
(torchmetrics' manners), `measure` for the evaluation engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.items import Item
from mmbench.score import Provenance, Score

if TYPE_CHECKING:
    from mmbench.encode.inception.classes import InceptionResult
    from mmbench.encode.viclip.alignment import VideoText
    from mmbench.face.bank import ReferenceBank
    from mmbench.face.track import FaceTrack, ReferenceFaces
    from mmbench.flow.flow_pass import FlowResult
    from mmbench.video.clip import ClipInfo

Floats = NDArray[np.float32] | NDArray[np.float64]


class Need(StrEnum):
    """What a metric has to be given. The engine gathers the union of needs in one decode."""

    FACES = "faces"
    REFERENCES = "references"
    FLOW = "flow"
    VIDEO_TEXT = "video_text"
    INCEPTION = "inception"
    ARCFACE = "arcface"


@dataclass(frozen=True)
class MetricFacts:
    """Facts of one number: shown by `mmbench explain`, used for ranking, marking and column order.

    `range` holds the smallest and largest possible value (None: unbounded). `column` marks a column of the
    paper's Table 1; the others are companions.
    """

    name: str
    title: str
    higher_is_better: bool
    unit: str
    range: tuple[float | None, float | None]
    definition: str
    source: str
    caveats: str = ""
    scope: Literal["clip", "set"] = "clip"
    decimals: int = 3
    column: bool = False


@dataclass
class Evidence:
    """All that one decode gathered about one clip. A field is None when nobody asked for it."""

    item: Item
    clip: ClipInfo
    faces: FaceTrack | None = None
    references: ReferenceFaces | None = None
    condition: ReferenceFaces | None = None
    bank: ReferenceBank | None = None
    flow: FlowResult | None = None
    video_text: VideoText | None = None
    inception: InceptionResult | None = None
    arcface: FaceTrack | None = None
    arcface_references: ReferenceFaces | None = None


class Metric(ABC):
    """Facts and needs common to clip and set metrics. `companions` are further numbers of the same evidence."""

    facts: ClassVar[MetricFacts]
    companions: ClassVar[tuple[MetricFacts, ...]] = ()
    needs: ClassVar[frozenset[Need]]

    @classmethod
    def all_facts(cls) -> tuple[MetricFacts, ...]:
        """The metric's own facts first, then its companions'."""
        return (cls.facts, *cls.companions)


class ClipMetric(Metric):
    """One value a clip; over clips the mean of the valid ones. The state is the list of values: mergeable."""

    def __init__(self) -> None:
        self.values: list[float] = []

    @abstractmethod
    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip: the metric's own, then its companions', each "ok" or "missing" with a reason."""

    def compute(self) -> float:
        """Mean over the clips seen by `update`. Raises ValueError when there was none."""
        if not self.values:
            raise ValueError(f"{self.facts.name}: no valid clip was added, so there is no mean")
        return float(np.mean(self.values))

    def merge_state(self, other: ClipMetric) -> None:
        """Add the clips another instance (another process) has seen."""
        self.values.extend(other.values)

    def reset(self) -> None:
        """Forget all clips."""
        self.values.clear()

    def _add(self, value: float | None) -> float | None:
        if value is not None:
            self.values.append(float(value))
        return value


class DerivedMetric(Metric):
    """Numbers made of other numbers of the same clip. `requires` names them; a run that asks for this metric measures
    them too."""

    requires: tuple[str, ...]
    needs: ClassVar[frozenset[Need]] = frozenset()

    @abstractmethod
    def derive(self, scores: Mapping[str, Score]) -> list[Score]:
        """Scores from the clip's other scores by name; "missing" where one of `requires` is."""


@dataclass(frozen=True)
class StoredFeatures:
    """What a set metric needs of one clip, read back from disk: so re-scoring a finished run costs nothing."""

    item: Item
    log_probs: NDArray[np.float32]
    provenance: Provenance | None = None


class SetMetric(Metric):
    """One value for a set of clips (one model); the engine calls it when every clip of the model is done."""

    @abstractmethod
    def measure_set(self, clips: Sequence[StoredFeatures]) -> list[Score]:
        """Scores of the set, clips in manifest order."""
