"""mmbench: Magic Mirror in the open, and the benchmark for identity-preserved video generation.

The public API, imported when first used: `read_folder` and `read_manifest` give items, `evaluate` measures them,
`compare` and `build_report` read what was measured; `score`, `Scorer` and `VideoMetric` measure clips in memory;
`load_testset` and `metrics` serve code of your own.

    >>> import mmbench
    >>> from pathlib import Path
    >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
    >>> mmbench.evaluate(items[:1], Path("runs/mine")).complete
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmbench.version import __version__

if TYPE_CHECKING:
    from mmbench import metrics
    from mmbench.reports.build import build_report
    from mmbench.reports.numbers.comparison import compare
    from mmbench.runs.evaluate.evaluate import evaluate
    from mmbench.runs.evaluate.items import read_folder, read_manifest
    from mmbench.runs.memory.metric import VideoMetric
    from mmbench.runs.memory.scorer import Scorer, score
    from mmbench.testsets.load import load_testset

__all__ = [
    "Scorer",
    "VideoMetric",
    "__version__",
    "build_report",
    "compare",
    "evaluate",
    "load_testset",
    "metrics",
    "read_folder",
    "read_manifest",
    "score",
]

_LAZY = {
    "Scorer": "mmbench.runs.memory.scorer",
    "VideoMetric": "mmbench.runs.memory.metric",
    "build_report": "mmbench.reports.build",
    "compare": "mmbench.reports.numbers.comparison",
    "evaluate": "mmbench.runs.evaluate.evaluate",
    "load_testset": "mmbench.testsets.load",
    "read_folder": "mmbench.runs.evaluate.items",
    "read_manifest": "mmbench.runs.evaluate.items",
    "score": "mmbench.runs.memory.scorer",
}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("mmbench.metrics")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mmbench' has no attribute {name!r}")
