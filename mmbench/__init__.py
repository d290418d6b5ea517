"""mmbench: Magic Mirror in the open, and the benchmark for identity-preserved video generation.

The public API, imported when first used: `evaluate`, `compare`, `build_report`, `load_testset`, `metrics`.
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
    from mmbench.testsets.load import load_testset

__all__ = ["__version__", "build_report", "compare", "evaluate", "load_testset", "metrics"]

_LAZY = {
    "build_report": "mmbench.reports.build",
    "compare": "mmbench.reports.numbers.comparison",
    "evaluate": "mmbench.runs.evaluate.evaluate",
    "load_testset": "mmbench.testsets.load",
}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("mmbench.metrics")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mmbench' has no attribute {name!r}")
