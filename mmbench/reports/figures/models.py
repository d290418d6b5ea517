"""Figures of a run's models: means with intervals, paired differences against one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmbench.errors import RequestError
from mmbench.reports.figures.style import colour_of, panels, styled
from mmbench.reports.numbers.comparison import compare_apart
from mmbench.reports.numbers.stats import cluster_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmbench.metrics.base import MetricFacts
    from mmbench.reports.numbers.samples import Sample, Samples


def drawable(samples: Samples, facts: Mapping[str, MetricFacts], metrics: Sequence[str] = ()) -> dict[str, MetricFacts]:
    """The metrics to draw: those named, else the default table's that some model has. Raises RequestError for a name
    that no row has."""
    if unknown := [name for name in metrics if not any(s.values for s in samples.of_metric(name))]:
        raise RequestError(f"The run has no value of {unknown[0]!r}.", "`mmbench report` lists what it has.")
    if metrics:
        return {name: facts[name] for name in metrics}
    return {
        name: fact
        for name, fact in facts.items()
        if fact.in_default_table and any(sample.values for sample in samples.of_metric(name))
    }


def means_figure(samples: Samples, facts: Mapping[str, MetricFacts], metrics: Sequence[str] = ()) -> Figure:
    """A panel a metric: each model's mean with its 95 % interval over identities; set statistics without one."""
    chosen = drawable(samples, facts, metrics)
    models = list(samples.models)
    colours = colour_of(models)
    with styled():
        figure, axes = panels(len(chosen), size=(3.0, 0.8 + 0.22 * len(models)))
        for panel, (name, fact) in zip(axes, chosen.items(), strict=True):
            for line, model in enumerate(reversed(models)):
                sample = samples.get(model, name)
                if sample is not None and sample.values:
                    _point(panel, line, sample, fact, colours[model])
            _names(panel, models, fact)
    return figure


def _point(panel: Axes, line: int, sample: Sample, fact: MetricFacts, colour: str) -> None:
    if not sample.items:
        panel.plot([sample.values[0]], [line], "o", color=colour, markersize=5)
        return
    found = cluster_mean(sample.values, sample.clusters, bounds=fact.range)
    if found.low is not None and found.high is not None:
        panel.plot([found.low, found.high], [line, line], color=colour, linewidth=1.6)
    panel.plot([found.mean], [line], "o", color=colour, markersize=5)


def _names(panel: Axes, models: Sequence[str], fact: MetricFacts) -> None:
    panel.set_yticks(range(len(models)), list(reversed(models)))
    panel.set_ylim(-0.6, len(models) - 0.4)
    panel.set_title(
        f"{fact.title} {'(higher is better)' if fact.higher_is_better else '(lower is better)'}", loc="left"
    )
    panel.set_xlabel(fact.unit)
    panel.grid(axis="x", alpha=0.2, linewidth=0.6)


def paired_figure(
    samples: Samples, facts: Mapping[str, MetricFacts], against: str, metrics: Sequence[str] = ()
) -> Figure:
    """A panel a metric: every other model minus `against`, paired, with its 95 % interval; filled where decided.

    Holm's correction spans one model's metrics. Raises RequestError for a model that the run does not have.
    """
    if against not in samples.models:
        raise RequestError(f"The run has no model {against!r}.", f"It has: {', '.join(samples.models)}.")
    chosen = {n: f for n, f in drawable(samples, facts, metrics).items() if f.scope == "clip"}
    others = [model for model in samples.models if model != against]
    if not others or not chosen:
        raise RequestError("There is nothing to compare.", "Evaluate a second model into this run.")
    colours = colour_of(list(samples.models))
    found = {}
    for comparison in compare_apart(samples, chosen):
        sides = (comparison.name_a, comparison.name_b)
        if against in sides:
            other = sides[1] if sides[0] == against else sides[0]
            sign = 1.0 if sides[0] == other else -1.0
            found[other] = {d.facts.name: (sign, d) for d in comparison.differences}
    with styled():
        figure, axes = panels(len(chosen), size=(3.0, 0.8 + 0.22 * len(others)))
        for panel, (name, fact) in zip(axes, chosen.items(), strict=True):
            panel.axvline(0, color="0.5", linewidth=0.8)
            for line, model in enumerate(reversed(others)):
                sign, difference = found[model].get(name, (1.0, None))
                if difference is None or difference.difference is None:
                    continue
                estimate = difference.difference
                if estimate.low is not None and estimate.high is not None:
                    ends = [sign * estimate.low, sign * estimate.high]
                    panel.plot(ends, [line, line], color=colours[model], linewidth=1.6)
                decided = difference.verdict in ("a better", "b better")
                fill = colours[model] if decided else "white"
                panel.plot(
                    [sign * estimate.mean], [line], "o", color=colours[model], markerfacecolor=fill, markersize=5
                )
            _names(panel, others, fact)
            panel.set_xlabel(f"{fact.unit}, minus {against}")
    return figure
