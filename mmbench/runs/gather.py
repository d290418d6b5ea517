"""Gather what the metrics of a run need: the union of their needs, in one decode of each clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.config import EvaluateSettings
from mmbench.errors import MissingDependency, MissingWeights, MMBenchError, WeightsError
from mmbench.items import Item
from mmbench.metrics.base import Evidence, Metric, Need
from mmbench.runs.features import write_features
from mmbench.runs.references import load, lookup, prepare

if TYPE_CHECKING:
    from mmbench.face.backend import FaceBackend
    from mmbench.face.bank import ReferenceBank
    from mmbench.face.track import ReferenceFaces
    from mmbench.video.clip import FramePass


@dataclass(frozen=True)
class Unmet:
    """Why a need cannot be met on this machine, and what to do."""

    reason: str
    remedy: str


MakePass = Callable[[], "FramePass[Any]"]


def wanted_needs(metrics: Sequence[Metric]) -> set[Need]:
    """Union of what the metrics need."""
    return {need for metric in metrics for need in metric.needs}


def find_unmet(settings: EvaluateSettings, metrics: Sequence[Metric]) -> dict[Need, Unmet]:
    """Which needs cannot be met: loads the networks to find out."""
    return _prepare_passes(settings, metrics)[1]


def prepare_references(
    items: Sequence[Item],
    settings: EvaluateSettings,
    metrics: Sequence[Metric],
    run: Path,
    progress: Callable[[int, int, str], None],
) -> None:
    """Find the reference faces for every face network the run uses. Raises ReferenceFaceError."""
    needs = wanted_needs(metrics)
    for need, name in ((Need.REFERENCES, settings.face.backend), (Need.ARCFACE, "insightface")):
        if need in needs:
            try:
                backend = _face_backend(name, settings)
            except (MissingWeights, MissingDependency, WeightsError):
                continue  # the metrics concerned say so, clip by clip
            prepare(items, backend, _references_path(run, need), progress)


class Gatherer:
    """Networks loaded once a process; `gather` opens a clip once and feeds every pass from that decode."""

    def __init__(self, settings: EvaluateSettings, metrics: Sequence[Metric], run: Path) -> None:
        self._settings, self._run = settings, run
        self._passes, self.unmet = _prepare_passes(settings, metrics)
        self._references: dict[Need, Mapping[str, ReferenceFaces]] = {}
        for need in (Need.REFERENCES, Need.ARCFACE):
            if (path := _references_path(run, need)).exists():
                self._references[need] = load(path)
        self._bank: ReferenceBank | None = None

    def gather(self, item: Item) -> Evidence:
        """Everything the metrics need of one clip. Raises MediaError when the clip cannot be used."""
        from mmbench.video.cadence import CadencePass
        from mmbench.video.read import decode, probe

        info = probe(item.video, fps=item.fps)
        passes = {need: make() for need, make in self._passes.items()}
        cached = self._cached_faces(info.sha256, passes)
        cadence = CadencePass()
        info = decode(item.video, [cadence, *passes.values()], fps=item.fps)
        results = {need: made.finish() for need, made in passes.items()} | cached
        raise NotImplementedError
