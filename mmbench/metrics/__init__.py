"""Metrics: one file each, a pure function on arrays and a class with mergeable state, in the paper's order.

Read `base` (what every metric is) and `registry` (which there are), then any one; `arrays` takes what users hold
numbers in. Motion: `dynamic_degree`, `motion_smoothness`, `fm_ref`, `fm_inter` and its `articulation`. The person:
`id_similarity`, `similarity_decay`, `pose_size`, `copy_gap`, `face_rate`. Texts and sets: `text_alignment`,
`inception_score`. Made of other numbers: `success_rates`. Of the nano world alone: `nano_world`. Of other benchmarks:
`official`.

`mmbench.metrics.IdSimilarity()` and the like are imported when first used; `registry` lists them by name.

    >>> import mmbench, numpy as np
    >>> embeddings, references = np.eye(16, 128), np.ones((2, 128))
    >>> metric = mmbench.metrics.IdSimilarity()
    >>> result = metric.update(embeddings, references)
    >>> round(float(metric.compute()), 3)
    0.088
"""

from __future__ import annotations

from typing import Any

from mmbench.metrics.registry import OWN, facts_by_name, metric_class, metric_classes

__all__ = ["facts_by_name", "metric_class", "metric_classes"]


def __getattr__(name: str) -> Any:
    for metric, target in OWN.items():
        if target.endswith(f":{name}"):
            return metric_class(metric)
    raise AttributeError(f"module 'mmbench.metrics' has no attribute {name!r}")
