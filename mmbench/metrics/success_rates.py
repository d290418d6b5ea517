"""Success rates: share of clips that pass each of four checks (Table 5 of the second version of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from mmbench.config import SuccessSettings
from mmbench.metrics.base import DerivedMetric, MetricFacts
from mmbench.scores import Provenance, Score

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings

CHECKS = ("motion", "text", "face", "identity")


@dataclass(frozen=True)
class SuccessResult:
    """One bool a check, and their mean."""

    motion: bool
    text: bool
    face: bool
    identity: bool

    @property
    def average(self) -> float:
        """Mean of the four checks, 0..1: the paper's last column."""
        return (self.motion + self.text + self.face + self.identity) / 4


def success(
    dynamic: float,
    smoothness: float,
    text_alignment: float,
    face_rate: float,
    identity: float,
    limits: SuccessSettings,
) -> SuccessResult:
    """Pass or fail of one clip. The paper names the checks but not their thresholds: these are `limits`.

    Motion passes when the clip is dynamic and its flow consistent; the others when the number reaches its limit.
    """
    return SuccessResult(
        motion=dynamic >= 0.5 and smoothness <= limits.motion_smoothness_max,
        text=text_alignment >= limits.text_alignment_min,
        face=face_rate >= limits.face_rate_min,
        identity=identity >= limits.identity_min,
    )


def _defaults() -> str:
    limits = SuccessSettings()
    return (
        f"smoothness <= {limits.motion_smoothness_max}, text alignment >= {limits.text_alignment_min}, "
        f"face rate >= {limits.face_rate_min}, {limits.identity_metric} >= {limits.identity_min}"
    )


def _facts(name: str, title: str, definition: str) -> MetricFacts:
    return MetricFacts(
        name,
        title,
        True,
        "share",
        (0.0, 1.0),
        definition,
        "Magic Mirror (arXiv 2501.03931v2) Table 5; thresholds are ours",
        f"The paper states no thresholds; ours are settings (`success`), stored with each score: {_defaults()}.",
    )


class SuccessRates(DerivedMetric):
    """Four pass/fail checks of a clip and their mean."""

    facts: ClassVar[MetricFacts] = _facts("success_average", "Success, average", "Mean of the four checks.")
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _facts("success_motion", "Motion quality", "Dynamic (dynamic_degree) with consistent flow."),
        _facts("success_text", "Text alignment passed", "text_alignment reaches its limit."),
        _facts("success_face", "Face recognised", "face_rate reaches its limit."),
        _facts("success_identity", "Identity check", "The identity metric of the settings reaches its limit."),
    )

    def __init__(self, limits: SuccessSettings | None = None) -> None:
        self.limits = limits or SuccessSettings()
        self.inputs = {
            "motion": ("dynamic_degree", "motion_smoothness"),
            "text": ("text_alignment",),
            "face": ("face_rate",),
            "identity": (self.limits.identity_metric,),
        }
        self.requires = tuple(name for names in self.inputs.values() for name in names)

    @classmethod
    def from_settings(cls, settings: EvaluateSettings) -> Self:
        """`success` holds the limits."""
        return cls(settings.success)

    def derive(self, scores: Mapping[str, Score]) -> list[Score]:
        """Scores of one clip; each check whose inputs are missing is missing, and so is the average then."""
        known = {name: s.value for name, s in scores.items() if s.value is not None}
        result = success(
            known.get("dynamic_degree", 0.0),
            known.get("motion_smoothness", 1.0),
            known.get("text_alignment", -1.0),
            known.get("face_rate", 0.0),
            known.get(self.limits.identity_metric, -1.0),
            self.limits,
        )
        absent = {check: [name for name in names if name not in known] for check, names in self.inputs.items()}
        lacking = [name for names in absent.values() for name in names]
        average = (
            _lacking("success_average", lacking, scores)
            if lacking
            else self._score("success_average", result.average, self.requires, scores)
        )
        checks = [
            _lacking(f"success_{check}", absent[check], scores)
            if absent[check]
            else self._score(f"success_{check}", float(getattr(result, check)), self.inputs[check], scores)
            for check in CHECKS
        ]
        return [average, *checks]

    def _score(self, name: str, value: float, inputs: tuple[str, ...], scores: Mapping[str, Score]) -> Score:
        score = Score.ok(
            name,
            value,
            made_of(scores, inputs),
            inputs={name: scores[name].value for name in inputs},
            limits=self.limits.model_dump(),
            variant=_variant(self.limits),
        )
        return replace(score, bank=next((scores[name].bank for name in inputs if scores[name].bank), ""))


def _lacking(name: str, inputs: Sequence[str], scores: Mapping[str, Score]) -> Score:
    """Missing, with the reason and the remedy of the first input that is."""
    first = scores.get(inputs[0])
    why = f" ({inputs[0]}: {first.reason.rstrip('.')})" if first is not None and first.reason else ""
    return Score.missing(name, f"it needs {', '.join(inputs)}{why}", first.remedy if first is not None else "")


def _variant(limits: SuccessSettings) -> str:
    """The limits that differ from the defaults, so that scores of other limits are never compared."""
    usual = SuccessSettings().model_dump()
    changed = [f"{key} {value}" for key, value in limits.model_dump().items() if value != usual[key]]
    return ", ".join(changed)


def made_of(scores: Mapping[str, Score], names: tuple[str, ...]) -> Provenance | None:
    """Provenance of a number made of others: all their backends and weights; random when one of them is."""
    makers = [maker for name in names if (maker := scores[name].provenance) is not None]
    if not makers:
        return None
    return Provenance(
        backend="+".join(dict.fromkeys(maker.backend for maker in makers)),
        weights={file: digest for maker in makers for file, digest in maker.weights.items()},
        versions={name: version for maker in makers for name, version in maker.versions.items()},
        random_weights=any(maker.random_weights for maker in makers),
    )
