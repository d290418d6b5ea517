"""Distribution plots: every clip a dot, the box beside it, one inline SVG a metric; text stays text and is escaped."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.metrics.base import Floats, MetricFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # replaced by the page's text colour, so that plots follow light and dark
PALETTE = ("#3b7ccc", "#d9652b", "#2f9a69", "#c04f8a", "#8d72d6", "#b98a10", "#3a9ab5", "#a5634f")
"""Readable on light and dark paper."""
MAX_DOTS = 400
CROWD = 60
"""Above so many clips a model, dots lie over each other and are drawn a little lighter."""

DOT = 16.0  # square points


def colours(models: Sequence[str]) -> dict[str, str]:
    """One colour a model, the same in every plot of a page."""
    return {model: PALETTE[index % len(PALETTE)] for index, model in enumerate(models)}


def distribution_svg(values: Mapping[str, Sequence[float]], facts: MetricFacts, palette: Mapping[str, str]) -> str:
    """Strip and box plot of one metric, one line a model, as an `<svg>` element for inline use.

    Dots are jittered with a fixed seed, and left out above 400 clips a model, where the box says more.
    Equal input gives equal output.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": facts.name,
        "text.parse_math": False,  # a model called $x$ is a name, not a formula
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    models = [model for model in values if values[model]]
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.4, 0.75 + 0.42 * len(models)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        yes_or_no = {value for model in models for value in values[model]} == {0.0, 1.0}
        draw = _draw_share if yes_or_no else _draw_clips
        for line, model in enumerate(reversed(models)):
            draw(axes, np.asarray(values[model], dtype=np.float64), line, palette[model])
        axes.set_yticks(range(len(models)), [_short(model) for model in reversed(models)])
        axes.set_ylim(-0.6, len(models) - 0.4)
        axes.set_xlabel(facts.unit)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        axes.set_axisbelow(True)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), facts)


def _draw_share(axes: Axes, values: Floats, line: int, colour: str) -> None:
    """Yes/no values: a dot for each clip would only show two heaps, so the share is drawn as a bar."""
    axes.barh(line, 1.0, height=0.44, color=colour, alpha=0.14, linewidth=0)
    axes.barh(line, values.mean(), height=0.44, color=colour, alpha=0.8, linewidth=0)
    axes.annotate(f"{int(values.sum())} of {len(values)}", (1.0, line), (6, 0), textcoords="offset points", va="center")


def _draw_clips(axes: Axes, values: Floats, line: int, colour: str) -> None:
    if len(values) <= MAX_DOTS:
        spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
        alpha = 0.9 if len(values) <= CROWD else 0.7
        axes.scatter(values, line + spread, s=DOT, color=colour, alpha=alpha, linewidths=0)
    axes.boxplot(
        values,
        positions=[line],
        orientation="horizontal",
        widths=0.5,
        showfliers=len(values) > MAX_DOTS,
        manage_ticks=False,
        boxprops={"color": colour},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        medianprops={"color": INK, "linewidth": 2, "zorder": 3},  # seen among dots of its own colour,
        flierprops={"markersize": 2, "markeredgecolor": colour},
    )


def _short(model: str, limit: int = 28) -> str:
    return model if len(model) <= limit else f"{model[: limit - 1]}…"


def _inline(svg: str, facts: MetricFacts) -> str:
    """The `<svg>` element alone: no XML head, no style sheet (it would style the page), the page's text colour."""
    from markupsafe import escape

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>\s*", "", body, flags=re.DOTALL)
    body = body.replace(INK, "currentColor")
    label = escape(f"Distribution of {facts.title} over clips, by model")
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
