"""What every number of a run is made of, as digests: equal digests, equal numbers; another one is measured again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mmbench.config import EvaluateSettings
from mmbench.files import content_of, sha256
from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric, Metric, Need, RunNeed
from mmbench.metrics.registry import metric_version
from mmbench.video.clip import VERSION

LENGTH = 24
"""Hexadecimal digits of a digest: 96 bits."""


def digest_of(value: object) -> str:
    """The digest of a JSON-like value, of settings, paths and dataclasses too; equal values, equal digests."""
    text = json.dumps(value, sort_keys=True, default=_plain, separators=(",", ":"))
    return sha256(text.encode())[:LENGTH]


def _plain(value: object) -> object:
    if isinstance(value, EvaluateSettings):
        return value.model_dump(mode="json", exclude={"metrics", "limits"})
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, Path):
        return str(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"  # a network, say: what it is, not where it lies


class Inputs:
    """Digests of all that the numbers of a run's metrics are made of, but for the videos' bytes.

    `people` are the items that whoever compares people looks at: those of the whole run.
    """

    def __init__(self, settings: EvaluateSettings, metrics: Mapping[str, Metric], people: Sequence[Item]) -> None:
        needs: dict[Need[Any], list[Any]] = {}
        self._shares: dict[RunNeed[Any], Callable[[Item], str]] = {}
        for need in dict.fromkeys(need for metric in metrics.values() for need in metric.needs):
            needs[need] = [need.name, need.revision, need.depends_on(settings)]
            if isinstance(need, RunNeed):
                self._shares[need] = need.inputs(people)
        self._metrics = metrics
        # A GPU's decoder gives the same pixels, of which each clip's first frame is the proof: its rows are its own.
        decoder = [] if settings.decode == "cpu" else ["cuda"]
        self.limits = digest_of([settings.limits, *decoder] if decoder else settings.limits)
        self._fixed: dict[str, str] = {}
        self._reads: dict[str, list[str]] = {}
        for name, metric in metrics.items():
            own = [name, metric_version(name), metric.revision, metric.options()]
            self._fixed[name] = digest_of([VERSION, own, [needs[need] for need in metric.needs], *decoder])
            read = set(metric.reads).union(*(need.reads for need in metric.needs))
            self._reads[name] = sorted(read)
        self._contents: dict[Path, str] = {}
        self._derived = {n: self._fixed[n] for n, metric in metrics.items() if isinstance(metric, DerivedMetric)}
        alike: dict[tuple[object, ...], list[str]] = {}  # metrics that read the same are told at once
        for name, metric in metrics.items():
            if name not in self._derived:
                shared = (need for need in metric.needs if isinstance(need, RunNeed))
                alike.setdefault((*self._reads[name], *shared), []).append(name)
        self._alike = [_Alike(read, names) for read, names in alike.items()]
        self._fields = list(dict.fromkeys(field for name in metrics for field in self._reads[name]))
        self._known: dict[tuple[str, ...], Mapping[str, str]] = {}

    def parts(self, item: Item) -> Mapping[str, str]:
        """For every metric the digest of what its numbers of this item are made of, the video left out."""
        said: dict[object, object] = {field: self._said(item, field) for field in self._fields}
        said.update({need: share(item) for need, share in self._shares.items()})
        marks = {key: repr(value) for key, value in said.items()}
        of_all = tuple(marks.values())
        if of_all not in self._known:  # many clips say the same, all of it or what one metric reads
            found = dict(self._derived)
            for alike in self._alike:
                key = tuple([marks[one] for one in alike.read])
                if key not in alike.known:
                    alike.known[key] = self._parts_of(alike, said)
                found.update(alike.known[key])
            self._known[of_all] = found
        return self._known[of_all]

    def _parts_of(self, alike: _Alike, said: Mapping[object, object]) -> Mapping[str, str]:
        values = [said[one] for one in alike.read if isinstance(one, str)]
        shares = [said[one] for one in alike.read if not isinstance(one, str)]
        return {name: digest_of([self._fixed[name], values, shares]) for name in alike.names}

    def _said(self, item: Item, field: str) -> object:
        if field in ("references", "shown"):
            return [self._content(path) for path in getattr(item, field)]
        if field == "condition":
            return self._content(item.condition) if item.condition else ""
        return getattr(item, field)

    def _content(self, path: Path) -> str:
        if path not in self._contents:
            self._contents[path] = content_of(path)
        return self._contents[path]


@dataclass(frozen=True)
class _Alike:
    """Metrics that read the same of an item: `read` are fields, then what needs say; `known` is kept by it."""

    read: tuple[object, ...]
    names: Sequence[str]
    known: dict[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)


def score_key(part: str, sha256_of_video: str) -> str:
    """`Score.inputs` of a metric's numbers, from `Inputs.parts` and the video's bytes."""
    return digest_of([part, sha256_of_video])


def derived_key(part: str, metric: DerivedMetric, inputs: Mapping[str, str]) -> str:
    """`Score.inputs` of numbers made of other numbers, whose own are `inputs`."""
    made_of = [[name, inputs[name]] for name in metric.requires if name in inputs]
    return digest_of([part, made_of])


def clip_key(item: Item, sha256_of_video: str, limits: str) -> str:
    """What the facts of a clip, or the reason why it cannot be used, hold for. `limits` are `Inputs.limits`."""
    return digest_of([VERSION, item.fps, sha256_of_video or str(item.video), item.extra.get("error", ""), limits])
