"""What every metric is made of: its facts, what it needs, and how it turns evidence into scores.

A metric file holds, in this order: a pure function on arrays with a typed result, then one small class with the
metric's facts. The class serves two callers: `update`/`compute`/`merge_state` for anyone with arrays
(torchmetrics' manners), `measure` for the evaluation engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MMBenchError
from mmbench.items import FIELDS, Item
from mmbench.scores import Provenance, Score
from mmbench.video.need import FrameNeed, Maker, Need, Networks, RunNeed

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.video.clip import ClipInfo

Floats = NDArray[np.float32] | NDArray[np.float64]


T = TypeVar("T")

__all__ = [
    "ClipMetric",
    "DerivedMetric",
    "Evidence",
    "Floats",
    "FrameNeed",
    "Maker",
    "Metric",
    "MetricFacts",
    "Need",
    "Networks",
    "NoEvidence",
    "RunNeed",
    "SetMetric",
    "StoredFeatures",
]


@dataclass(frozen=True)
class MetricFacts:
    """Facts of one number: shown by `mmbench explain`, used for ranking, marking and column order.

    `range` holds the smallest and largest possible value (None: unbounded). `column` marks a column of the
    paper's Table 1; the others are companions. `beside` puts a companion into the default table: one that is not
    fooled where the column beside it is.
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
    beside: bool = False

    @property
    def in_default_table(self) -> bool:
        """Whether tables and comparisons show it where nobody chose their columns."""
        return self.column or self.beside


class NoEvidence(MMBenchError):
    """A clip lacks what a metric reads of it; to the engine the metric is "missing" there."""


@dataclass(frozen=True)
class Evidence:
    """All that was gathered about one clip: `found` by need. `evidence[NEED]` reads it, and has the need's type."""

    item: Item
    clip: ClipInfo
    found: Mapping[Need[Any], Any] = field(default_factory=dict)

    def __getitem__(self, need: Need[T]) -> T:
        """What meets the need. Raises NoEvidence where nothing does: nobody asked for it, or the item has none."""
        if (found := self.get(need)) is None:
            raise NoEvidence(
                f"Nothing is known of this clip's {need.name}.",
                "It was not given, or none of its metrics asked for it.",
            )
        return found

    def get(self, need: Need[T]) -> T | None:
        """What meets the need, None where nothing does."""
        return self.found.get(need)


class Metric(ABC):
    """Facts and needs common to clip and set metrics. `companions` are further numbers of the same evidence.

    A number holds while the video's bytes, what its needs are made of, `revision`, the metric's own `options` and what
    it `reads` of its item stay as they were; when one of them changes it is measured again.
    """

    facts: ClassVar[MetricFacts]
    companions: ClassVar[tuple[MetricFacts, ...]] = ()
    needs: ClassVar[Collection[Need[Any]]] = ()
    revision: ClassVar[int] = 1
    """Raise it with any change that changes a number."""
    reads: Collection[str] = FIELDS
    """What the metric reads of its item besides its video (`mmbench.items.FIELDS`); all of it, unless it says less."""

    @classmethod
    def from_settings(cls, settings: EvaluateSettings) -> Self:
        """The metric as a run with these settings wants it; one with options of its own takes them from there."""
        return cls()

    def options(self) -> Mapping[str, Any]:
        """What the settings have made of this metric: by default all that a new instance holds."""
        return vars(self)

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

    @abstractmethod
    def derive(self, scores: Mapping[str, Score]) -> list[Score]:
        """Scores from the clip's other scores by name; "missing" where one of `requires` is."""


@dataclass(frozen=True)
class StoredFeatures:
    """What a set metric keeps of one clip, by names of its own: re-scoring a finished run costs no decoding."""

    item: Item
    arrays: Mapping[str, NDArray[Any]]
    provenance: Provenance | None = None


class SetMetric(Metric):
    """One value for a set of clips (one model); the engine calls it when every clip of the model is done.

    `stored` names the arrays that `features` gives of a clip.
    """

    stored: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def features(self, evidence: Evidence) -> StoredFeatures:
        """What to keep of one clip: arrays of numbers, and what made them."""

    @abstractmethod
    def measure_set(self, clips: Sequence[StoredFeatures]) -> list[Score]:
        """Scores of the set from what `features` gave for its clips, in manifest order."""
