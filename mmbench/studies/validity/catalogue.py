"""The experiments, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

from mmbench.studies.validity.experiments import (
    cadence,
    camera,
    decay,
    detected,
    detection,
    dynamic_degree,
    identity,
    landmarks,
    motion,
    official,
    pose,
    reference_motion,
    sensitivity,
)
from mmbench.studies.validity.finding import Finding, Observation
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import Levels


@dataclass(frozen=True)
class Experiment:
    """`observe` gives the rows of one person, `conclude` what the rows of all of them say."""

    name: str
    observe: Callable[[Lab, str, Levels], Iterator[Observation]]
    conclude: Callable[[Sequence[Observation], Levels], Finding]


_MODULES: dict[str, ModuleType] = {
    "identity": identity,
    "decay": decay,
    "reference-motion": reference_motion,
    "motion": motion,
    "camera": camera,
    "dynamic-degree": dynamic_degree,
    "cadence": cadence,
    "detection": detection,
    "sensitivity": sensitivity,
    "landmarks": landmarks,
    "detected": detected,
    "pose": pose,
    "official": official,
}
EXPERIMENTS = {name: Experiment(name, module.observe, module.conclude) for name, module in _MODULES.items()}
