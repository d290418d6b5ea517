"""Every metric by name, in the paper's column order; plug-ins join through the entry point `mmbench.metrics`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract

from mmbench.errors import MMBenchError, PlugInError
from mmbench.metrics.base import Metric, MetricFacts, Need

GROUP = "mmbench.metrics"

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
    "copy_gap": "mmbench.metrics.copy_gap:CopyGap",
    "id_similarity_arcface": "mmbench.metrics.id_similarity:IdSimilarityArcFace",
    "copy_gap_arcface": "mmbench.metrics.copy_gap:CopyGapArcFace",
    "id_by_pose": "mmbench.metrics.pose_size:PoseSize",
    "success_rates": "mmbench.metrics.success_rates:SuccessRates",
}

ASKED_FOR = {
    "text_alignment_nano": "mmbench.metrics.nano_world:TextAlignmentNano",
    "inception_score_nano": "mmbench.metrics.nano_world:InceptionScoreNano",
    "id_similarity_nano": "mmbench.metrics.nano_world:IdSimilarityNano",
}
"""Metrics of one small world alone, meaningless elsewhere: a run has them only where its settings name them."""

OFFICIAL = {
    "facesim_arc": "mmbench.metrics.official.face_similarity:FaceSimArc",
    "facesim_cur": "mmbench.metrics.official.face_similarity:FaceSimCur",
    "face_feature_distance": "mmbench.metrics.official.face_similarity:FaceFeatureDistance",
    "clip_score": "mmbench.metrics.official.clip_score:ClipScoreMetric",
    "aesthetic": "mmbench.metrics.official.clip_score:Aesthetic",
    "motion_amplitude": "mmbench.metrics.official.motion_amplitude:MotionAmplitudeMetric",
    "human_identity": "mmbench.metrics.official.human_identity:HumanIdentityMetric",
}
"""Columns of other benchmarks, by their protocols: a run has them only where its settings name them."""

OWN = BUILT_IN | ASKED_FOR | OFFICIAL
"""Every metric of this package."""


@cache
def plug_ins() -> dict[str, EntryPoint]:
    """Metrics of other packages by name, not loaded, broken ones too (`broken_plug_ins`)."""
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def _loaded() -> tuple[dict[str, type[Metric]], dict[str, PlugInError]]:
    """The plug-ins that can be used, and what is wrong with the others. None of them stops another."""
    found: dict[str, type[Metric]] = {}
    wrong: dict[str, PlugInError] = {}
    own = tuple(OWN)
    taken = {facts.name for name in own for facts in metric_class(name).all_facts()} | set(own)
    for name, point in plug_ins().items():
        try:
            found[name] = _checked(point, taken)
            taken |= {name, *(facts.name for facts in found[name].all_facts())}
        except PlugInError as cause:
            wrong[name] = cause
    return found, wrong


def _checked(point: EntryPoint, taken: Collection[str]) -> type[Metric]:
    """The class of an entry point. Raises PlugInError naming the plug-in and its package."""
    package = f" of the package {point.dist.name}" if point.dist else ""
    what = f"The metric plug-in {point.name!r} ({point.value}){package}"
    remedy = "Mend or uninstall that package."
    try:
        loaded = point.load()
        if not isinstance(loaded, type) or not issubclass(loaded, Metric) or isabstract(loaded):
            raise PlugInError(f"{what} is no metric class.", "See mmbench.metrics.base, and the examples beside it.")
        names = [facts.name for facts in loaded.all_facts()]
        if wrong := [name for name in names if not re.fullmatch(r"\w+", name)]:
            raise PlugInError(f"{what} names a score {wrong[0]!r}.", "Use letters, digits and underscores.")
        if strange := [need for need in loaded.needs if not isinstance(need, Need)]:
            raise PlugInError(f"{what} needs {strange[0]!r}, which is no need.", "See mmbench.video.need.")
    except PlugInError:
        raise
    except Exception as cause:  # whatever its module does when it is imported
        raise PlugInError(f"{what} cannot be loaded: {type(cause).__name__}: {cause}.", remedy) from cause
    if clash := sorted({point.name, *names} & set(taken)):
        raise PlugInError(f"{what} registers {clash[0]!r}, which already exists.", "Rename it in that package.")
    return loaded


def broken_plug_ins() -> dict[str, PlugInError]:
    """What is wrong with each plug-in that cannot be used, by name. Loads them all."""
    return _loaded()[1]


def forget() -> None:
    """Look for plug-ins again: after a package was installed into a running process."""
    plug_ins.cache_clear()
    _loaded.cache_clear()


def metric_names() -> tuple[str, ...]:
    """All metrics that a run has where none are named, built-in ones first in column order."""
    return (*BUILT_IN, *_loaded()[0])


def metric_class(name: str) -> type[Metric]:
    """The class of one metric, loading no other. Raises MMBenchError for an unknown name, listing the known ones."""
    if own := OWN.get(name):
        module, attribute = own.split(":")
        loaded: type[Metric] = getattr(import_module(module), attribute)
        return loaded
    if name in plug_ins():
        usable, wrong = _loaded()
        if name in usable:
            return usable[name]
        raise wrong[name]
    if owner := _owner(name):
        raise MMBenchError(f"{name!r} is measured together with {owner!r}, not by itself.", f"Name {owner}.")
    raise no_such_metric(name, metric_classes())


def metric_version(name: str) -> str:
    """Version of the package that brings a metric; "" for our own, whose numbers have versions of their own."""
    point = None if name in OWN else plug_ins().get(name)
    return point.dist.version if point and point.dist else ""


def in_order(names: Iterable[str]) -> list[str]:
    """Names of metrics in column order, plug-ins last; each once. Loads none."""
    order = {name: place for place, name in enumerate((*OWN, *plug_ins()))}
    return sorted(dict.fromkeys(names), key=lambda name: (order.get(name, len(order)), name))


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
    """The error for a name that is none of `known`: its plug-in is broken, or which are close, else all."""
    if name in (broken := broken_plug_ins()):
        return broken[name]
    names = list(known)
    near = get_close_matches(name, names, n=3)
    said = (
        f"Did you mean {', '.join(near)}? `mmbench explain all` lists all." if near else f"Known: {', '.join(names)}."
    )
    return MMBenchError(f"There is no metric {name!r}.", said)


def metric_classes() -> dict[str, type[Metric]]:
    """Every installed metric's class by name, those too that a run has only where they are named."""
    return {name: metric_class(name) for name in (*OWN, *_loaded()[0])}


def facts_by_name() -> dict[str, MetricFacts]:
    """Facts of every number any metric can produce, companions right after their metric."""
    return {facts.name: facts for metric in metric_classes().values() for facts in metric.all_facts()}
