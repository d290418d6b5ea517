"""An ablation's arms side by side, from the `ablation.json` that `mmbench ablate` leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import ManifestError, RequestError
from mmbench.reports.figures.style import colour_of, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "ablation.json"


def read_ablation(folder: Path) -> dict[str, Any]:
    """The document of an ablation's folder. Raises ManifestError for anything else."""
    path = folder / FILE
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(held, dict) or not {"arms", "facts", "curves"} <= set(held):
            raise ValueError("it is no ablation")
    except (OSError, ValueError) as cause:
        raise ManifestError(f"{path}: {cause}.", "Name the folder of `mmbench ablate`, or its report's.") from cause
    return held


def ablation_figure(document: Mapping[str, Any], metrics: Sequence[str] = ()) -> Figure:
    """A panel a metric: every arm's mean with its 95 % interval over people, and each seed of training as a dot.

    Raises RequestError for a metric that the ablation did not measure.
    """
    facts, arms = document["facts"], document["arms"]
    if unknown := [name for name in metrics if name not in facts]:
        raise RequestError(f"The ablation did not measure {unknown[0]!r}.", f"It measured: {', '.join(facts)}.")
    chosen = list(metrics or facts)
    names = [arm["name"] for arm in arms]
    colours = colour_of(names)
    with styled():
        figure, axes = panels(len(chosen), size=(3.0, 0.8 + 0.22 * len(arms)))
        for panel, name in zip(axes, chosen, strict=True):
            for line, arm in enumerate(reversed(arms)):
                if (mean := arm["means"].get(name)) is None:
                    continue
                colour = colours[arm["name"]]
                if mean["low"] is not None:
                    panel.plot([mean["low"], mean["high"]], [line, line], color=colour, linewidth=1.6)
                seeds = arm["by_seed"].get(name, [])
                panel.plot(seeds, [line - 0.22] * len(seeds), ".", color=colour, markersize=3, alpha=0.8)
                panel.plot([mean["mean"]], [line], "o", color=colour, markersize=5)
            fact = facts[name]
            panel.set_yticks(range(len(arms)), list(reversed(names)))
            panel.set_ylim(-0.6, len(arms) - 0.4)
            panel.set_title(
                f"{fact['title']} ({'higher' if fact['higher_is_better'] else 'lower'} is better)", loc="left"
            )
            panel.set_xlabel(fact["unit"])
            panel.grid(axis="x", alpha=0.2, linewidth=0.6)
    return figure
