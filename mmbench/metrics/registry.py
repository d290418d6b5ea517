"""Every metric by name, in the paper's column order; plug-ins join through the entry point `mmbench.metrics`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

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
def metric_classes() -> dict[str, type[Metric]]:
    """All installed metrics, built-in first. A plug-in may add names but not replace one: that raises."""
    classes = {name: _load(target) for name, target in BUILT_IN.items()}
    for point in entry_points(group="mmbench.metrics"):
        if point.name in classes:
            raise MMBenchError(
                f"The plug-in {point.value!r} registers the metric {point.name!r}, which already exists.",
                "Rename it in the plug-in's entry points.",
            )
        classes[point.name] = point.load()
    return classes


def metric_class(name: str) -> type[Metric]:
    """The class of one metric. Raises MMBenchError for an unknown name, listing the known ones."""
    if name in BUILT_IN:
        return _load(BUILT_IN[name])
    classes = metric_classes()
    if name not in classes:
        raise MMBenchError(f"There is no metric {name!r}.", f"Known metrics: {', '.join(classes)}.")
    return classes[name]


def facts_by_name() -> dict[str, MetricFacts]:
    """Facts of every number any metric can produce, companions right after their metric."""
    return {facts.name: facts for metric in metric_classes().values() for facts in metric.all_facts()}


def _load(target: str) -> type[Metric]:
    module, name = target.split(":")
    loaded: type[Metric] = getattr(import_module(module), name)
    return loaded
