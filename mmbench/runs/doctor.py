"""What this installation can measure: packages, weight files, and what each metric still needs."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmbench.config import EvaluateSettings
from mmbench.errors import MMBenchError, how_to_install
from mmbench.files import cache_root, installed_version
from mmbench.metrics.base import DerivedMetric
from mmbench.metrics.registry import broken_plug_ins, plug_ins
from mmbench.runs.evaluate.clip import usable_metrics
from mmbench.runs.evaluate.gather import Gatherer


@dataclass(frozen=True)
class Diagnosis:
    """One line of the doctor's: "missing" is mendable by the command in `text`, "broken" stops everything."""

    state: Literal["ok", "missing", "broken"]
    kind: Literal["package", "weights", "metric", "plug-in", "machine"]
    name: str
    text: str


# Distribution, what it serves, and the extra that brings it ("" for the base installation).
PACKAGES = (
    ("av", "decoding and encoding", ""),
    ("dlib-bin", "faces", ""),
    ("face_recognition_models", "dlib's weights", ""),
    ("opencv-python-headless", "DIS flow", ""),
    ("torch", "networks", ""),
    ("torchvision", "RAFT, Inception", ""),
    ("open_clip_torch", "text alignment", ""),
    ("diffusers", "generation", "generate"),
    ("transformers", "generation", "generate"),
    ("onnxruntime", "ArcFace column", "insightface"),
    ("numba", "fast rendering of synthetic people", "synth"),
)


# Distributions that bring the same package.
ALTERNATIVES = {"onnxruntime": "onnxruntime-gpu"}


def examine(settings: EvaluateSettings | None = None) -> list[Diagnosis]:
    """Machine, packages, weights, metrics and plug-ins of this installation. Loads the networks that are present."""
    settings = settings or EvaluateSettings()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # plug-ins left out have lines of their own here
        metrics = _metrics(settings)
    return [*_machine(), *_packages(), *_weights(), *metrics, *_plug_ins()]


def _machine() -> list[Diagnosis]:
    """GPUs with their memory; the places of what is kept, with the space left there."""
    import torch

    from mmbench.testsets.load import testsets_dir
    from mmbench.weights.cache import cache_dir

    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        text = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
        found.append(Diagnosis("ok", "machine", f"cuda:{index}", text))
    if not found:
        found.append(Diagnosis("ok", "machine", "gpu", "none that this torch can use: networks run on the processor"))
    kept = {"cache": cache_root(), "weights": cache_dir(), "test sets": testsets_dir()}
    return [*found, *(_place(name, folder) for name, folder in kept.items())]


def _place(name: str, folder: Path) -> Diagnosis:
    """A folder that is made when it is first needed: whether it can be, and the space on its disk."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        variable = {"cache": "MMBENCH_CACHE", "weights": "MMBENCH_WEIGHTS", "test sets": "MMBENCH_TESTSETS"}[name]
        return Diagnosis("broken", "machine", name, f"{folder} cannot be written: set {variable} to another folder.")
    return Diagnosis("ok", "machine", name, f"{folder}, {shutil.disk_usage(there).free / 2**30:.0f} GiB left")


def _packages() -> list[Diagnosis]:
    found = [Diagnosis("ok", "package", "python", platform.python_version())]
    for name, purpose, extra in PACKAGES:
        installed = installed_version(name) or installed_version(ALTERNATIVES.get(name, name))
        if installed:
            found.append(Diagnosis("ok", "package", name, f"{installed} ({purpose})"))
        else:
            state: Literal["missing", "broken"] = "missing" if extra else "broken"
            found.append(Diagnosis(state, "package", name, f"not installed ({purpose}): {how_to_install(extra)}"))
    return found


def _weights() -> list[Diagnosis]:
    from mmbench.weights import locate, registry
    from mmbench.weights.registry import complete_group

    found = []
    for entry in registry().values():
        if not (entry.package or "metrics" in entry.groups):
            continue
        try:
            path = locate(entry)
        except MMBenchError as fault:
            found.append(Diagnosis("missing", "weights", entry.name, str(fault)))
            continue
        if path is None:
            found.append(Diagnosis("missing", "weights", entry.name, f"mmbench weights get {complete_group(entry)}"))
        else:
            found.append(Diagnosis("ok", "weights", entry.name, str(path)))
    return found


def _metrics(settings: EvaluateSettings) -> list[Diagnosis]:
    metrics, broken = usable_metrics(settings)
    unmet = Gatherer(settings, metrics.values(), (), Path()).lacking()
    found = [Diagnosis("broken", "metric", name, str(wrong)) for name, wrong in broken.items()]
    for name, metric in metrics.items():
        if lacking := [unmet[need] for need in metric.needs if need in unmet]:
            state: Literal["missing", "broken"] = "broken" if lacking[0].fault else "missing"
            found.append(Diagnosis(state, "metric", name, f"{lacking[0].reason} {lacking[0].remedy}"))
        elif isinstance(metric, DerivedMetric):
            states = {f.name: f.state for f in found}
            absent = [r for r in metric.requires if states.get(r, "ok") != "ok"]
            text = f"needs {', '.join(absent)}" if absent else "ready"
            found.append(Diagnosis("missing" if absent else "ok", "metric", name, text))
        else:
            found.append(Diagnosis("ok", "metric", name, "ready"))
    return found


def _plug_ins() -> list[Diagnosis]:
    """Metrics and generators of other packages: those that work, and why the others cannot be used."""
    broken = broken_plug_ins()
    found = [Diagnosis("broken", "plug-in", name, str(wrong)) for name, wrong in broken.items()]
    for name, point in plug_ins().items():
        if name not in broken:
            came = f" {point.dist.name} {point.dist.version}" if point.dist else ""
            found.append(Diagnosis("ok", "plug-in", name, f"metric of{came or ' another package'} ({point.value})"))
    return [*found, *_generators()]


def _generators() -> list[Diagnosis]:
    from mmbench.baselines.registry import BASELINES, create, installed

    found = []
    try:
        added = {name: place for name, place in installed().items() if name not in BASELINES}
    except MMBenchError as cause:
        return [Diagnosis("broken", "plug-in", "generators", str(cause))]
    for name, place in added.items():
        try:
            create(name)
            found.append(Diagnosis("ok", "plug-in", name, f"generator ({place})"))
        except Exception as cause:  # whatever somebody's package raises when it is imported
            found.append(Diagnosis("broken", "plug-in", name, f"generator ({place}): {cause}"))
    return found
