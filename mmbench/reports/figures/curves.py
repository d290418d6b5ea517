"""Curves over training: a metric at every measured step, a line a model, a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmbench.errors import RequestError
from mmbench.reports.figures.style import colour_of, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbench.metrics.base import MetricFacts
    from mmbench.runs.evaluate.rows import ItemRow

Curves = Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]
"""Metric -> model -> step -> one mean a seed of training."""


def curves_of_rows(rows: Sequence[ItemRow]) -> dict[str, dict[str, dict[int, tuple[float, ...]]]]:
    """The curves in rows that carry a training step.

    A model's name ends in "@STEP" there, and what is before it is the line. Raises RequestError where there is none.
    """
    values: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        if row.item.step is None:
            continue
        for score in row.scores:
            if score.value is not None:
                values.setdefault(
                    (score.metric, row.item.model.rpartition("@")[0] or row.item.model, row.item.step), []
                )
                values[score.metric, row.item.model.rpartition("@")[0] or row.item.model, row.item.step].append(
                    score.value
                )
    if not values:
        raise RequestError("No row of this run was made while a model trained.", "Name a training's validation run.")
    found: dict[str, dict[str, dict[int, tuple[float, ...]]]] = {}
    for (metric, model, step), held in sorted(values.items()):
        found.setdefault(metric, {}).setdefault(model, {})[step] = (float(np.mean(held)),)
    return found


def curves_figure(curves: Curves, facts: Mapping[str, MetricFacts], metrics: Sequence[str] = ()) -> Figure:
    """A panel a metric: the mean over seeds at every step, the band from the lowest to the highest seed."""
    chosen = [name for name in (metrics or curves) if name in curves and name in facts]
    if missing := [name for name in metrics if name not in curves]:
        raise RequestError(f"There is no curve of {missing[0]!r}.", f"There are: {', '.join(curves)}.")
    colours = colour_of(sorted({model for name in chosen for model in curves[name]}))
    with styled():
        figure, axes = panels(len(chosen))
        for panel, name in zip(axes, chosen, strict=True):
            for model, points in curves[name].items():
                steps = sorted(points)
                means = [float(np.mean(points[step])) for step in steps]
                panel.plot(steps, means, "o-", color=colours[model], markersize=3, linewidth=1.4, label=model)
                low, high = ([limit(points[step]) for step in steps] for limit in (min, max))
                panel.fill_between(steps, low, high, color=colours[model], alpha=0.18, linewidth=0)
            panel.set_title(facts[name].title, loc="left")
            panel.set_xlabel("step of training")
            panel.set_ylabel(facts[name].unit)
            panel.grid(alpha=0.2, linewidth=0.6)
        axes[0].legend()
    return figure
