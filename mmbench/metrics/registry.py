"""Every metric by name, in the paper's column order; plug-ins join through the entry point `mmbench.metrics`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from mmbench.errors import MMBenchError
from mmbench.metrics.base import Metric, MetricFacts

# Name -> "module:class", in the order of Table 1 (v2), then ours. Strings, so that listing imports nothing heavy.
BUILT_IN = {
    "dynamic_degree": "mmbench.metrics.dynamic_degree:DynamicDegree",
    "text_alignment": "mmbench.metrics.text_alignment:TextAlignment",
    "inception_score": "mmbench.metrics.inception_score:InceptionScore",
    "motion_smoothness": "mmbench.metrics.motion_smoothness:MotionSmoothness",
    "id_similarity": "mmbench.metrics.id_similarity:IdSimilarity",
    "similarity_decay": "mmbench.metrics.similarity_decay:SimilarityDecay",
    "fm_ref": "mmbench.metrics.fm_ref:FMRef",
    "fm_inter": "mmbench.metrics.fm_inter:FMInter",
    "face_rate": "mmbench.metrics.face_rate:FaceRate",
    "id_similarity_arcface": "mmbench.metrics.id_similarity:IdSimilarityArcFace",
    "success_rates": "mmbench.metrics.success_rates:SuccessRates",
}


@cache
def plug_ins() -> dict[str, EntryPoint]:
    """Metrics of other packages by name, not loaded. One that takes a built-in's name raises MMBenchError."""
    points = {point.name: point for point in entry_points(group="mmbench.metrics")}
    for name in points.keys() & BUILT_IN.keys():
        raise MMBenchError(
            f"The plug-in {points[name].value!r} registers the metric {name!r}, which already exists.",
            "Rename it in the plug-in's entry points.",
        )
    return points


def metric_names() -> tuple[str, ...]:
    """All installed metrics, built-in ones first in column order."""
    return (*BUILT_IN, *plug_ins())


def metric_class(name: str) -> type[Metric]:
    """The class of one metric, loading no other. Raises MMBenchError for an unknown name, listing the known ones."""
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        loaded: type[Metric] = getattr(import_module(module), attribute)
        return loaded
    if name in plug_ins():
        plugged: type[Metric] = plug_ins()[name].load()
        return plugged
    if owner := _owner(name):
        raise MMBenchError(f"{name!r} is measured together with {owner!r}, not by itself.", f"Name {owner}.")
    raise no_such_metric(name, metric_names())


def producer(score: str) -> str:
    """Name of the metric that yields this score: itself or a companion. Raises MMBenchError when none does."""
    if owner := _owner(score):
        return owner
    raise MMBenchError(f"No metric yields {score!r}.", f"Known scores: {', '.join(facts_by_name())}.")


def _owner(score: str) -> str | None:
    owners = (
        name for name, metric in metric_classes().items() if score in {facts.name for facts in metric.all_facts()}
    )
    return next(owners, None)


def no_such_metric(name: str, known: Iterable[str]) -> MMBenchError:
    """The error for a name that is none of `known`: it says which are close, else all."""
    names = list(known)
    near = get_close_matches(name, names, n=3)
    said = (
        f"Did you mean {', '.join(near)}? `mmbench explain all` lists all." if near else f"Known: {', '.join(names)}."
    )
    return MMBenchError(f"There is no metric {name!r}.", said)


def metric_classes() -> dict[str, type[Metric]]:
    """Every installed metric's class by name."""
    return {name: metric_class(name) for name in metric_names()}


def facts_by_name() -> dict[str, MetricFacts]:
    """Facts of every number any metric can produce, companions right after their metric."""
    return {facts.name: facts for metric in metric_classes().values() for facts in metric.all_facts()}
