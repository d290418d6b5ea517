"""Draws a finding: one style for all figures, SVG with text as text, equal input giving equal output."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.reports.numbers.stats import Bounds, cluster_mean
from mmbench.reports.page.plots import PALETTE
from mmbench.studies.validity.finding import Curve, Finding, Grid, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#23272e", "#8a919c"
COLUMNS = 3
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8ec",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
}


def draw(finding: Finding, kind: str = "svg") -> bytes:
    """The figure of a finding as SVG (or PNG) bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {**STYLE, "svg.hashsalt": finding.name}
    with mpl.rc_context(style):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        if finding.grids:
            _draw_grids(figure, finding.grids)
        else:
            _draw_panels(figure, finding.panels)
        out = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(out, format=kind, dpi=130, facecolor="white", metadata=metadata)
    return out.getvalue()


def _draw_panels(figure: Figure, panels: Sequence[Panel]) -> None:
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure.set_size_inches(3.35 * columns if columns > 1 else 4.6, 2.75 * lines)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(lines, columns, number + 1)
        axes.set_title(panel.title)
        axes.set_xlabel(panel.x)
        axes.set_ylabel(panel.y)
        for curve in panel.curves:
            if panel.scatter:
                _dots(axes, curve)
            else:
                _line(axes, curve)
        if panel.scatter:
            _diagonal(axes)
        elif any(_bounds(row.metric) == (0.0, 1.0) for curve in panel.curves for row in curve.rows[:1]):
            axes.set_ylim(-0.05, 1.05)
        for level in panel.levels:
            axes.axhline(level.value, color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
            axes.annotate(
                level.label,
                (0.01 if level.left else 1, level.value),
                (0, 2),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="left" if level.left else "right",
                va="bottom",
                fontsize=7,
                color=FAINT,
            )
        if len(panel.curves) > 1 and number in _legends(panels):
            axes.legend(handlelength=1.6, borderaxespad=0.2)


def _legends(panels: Sequence[Panel]) -> set[int]:
    """Panels that need a legend: the first with each set of curves."""
    first: dict[tuple[tuple[str, int], ...], int] = {}
    for number, panel in enumerate(panels):
        first.setdefault(tuple((curve.label, curve.colour) for curve in panel.curves), number)
    return set(first.values())


def _line(axes: Axes, curve: Curve) -> None:
    """Mean over people with its interval; each person's values as faint dots."""
    if not curve.rows:
        return
    colour = PALETTE[curve.colour % len(PALETTE)]
    bounds = _bounds(curve.rows[0].metric)
    levels = sorted({row.level for row in curve.rows})
    at, mean, low, high = [], [], [], []
    for level in levels:
        own = [row for row in curve.rows if row.level == level]
        found = cluster_mean([row.value for row in own], [row.person for row in own], bounds=bounds)
        at.append(float(np.mean([row.at for row in own])))
        mean.append(found.mean)
        alike = min(row.value for row in own) == max(row.value for row in own)
        low.append(found.mean if found.low is None or alike else found.low)
        high.append(found.mean if found.high is None or alike else found.high)
    if curve.truth:
        axes.plot(at, mean, color=INK, linewidth=1.3, linestyle=(0, (4, 2)), label=curve.label, zorder=4)
        return
    axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.scatter([r.at for r in curve.rows], [r.value for r in curve.rows], s=6, color=colour, alpha=0.4, linewidths=0)
    axes.plot(at, mean, color=colour, linewidth=1.8, label=curve.label, zorder=3)


@lru_cache
def _bounds(metric: str) -> Bounds:
    """Smallest and largest possible value of a metric of the suite."""
    from mmbench.metrics.registry import facts_by_name

    facts = facts_by_name().get(metric)
    return (None, None) if facts is None else facts.range


def _dots(axes: Axes, curve: Curve) -> None:
    colour = PALETTE[curve.colour % len(PALETTE)]
    axes.scatter(
        [row.at for row in curve.rows],
        [row.value for row in curve.rows],
        s=9,
        color=colour,
        alpha=0.55,
        linewidths=0,
        label=curve.label,
    )


def _diagonal(axes: Axes) -> None:
    """Equal axes from their common start, with the line where both agree."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0], 0.0)
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.plot([low, high], [low, high], color=INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)


def _draw_grids(figure: Figure, grids: Sequence[Grid]) -> None:
    """Tables of signed percentages side by side, one row of labels."""
    widths = [len(grid.columns) for grid in grids]
    deepest = max(len(name) for grid in grids for name in grid.columns)
    figure.set_size_inches(2.1 + 0.62 * sum(widths), 0.9 + 0.29 * len(grids[0].rows) + 0.07 * max(0, deepest - 6))
    spaces = figure.add_gridspec(1, len(grids), width_ratios=widths)
    for number, grid in enumerate(grids):
        axes = figure.add_subplot(spaces[0, number])
        cells = np.array([[np.nan if cell is None else cell for cell in line] for line in grid.cells])
        axes.imshow(np.clip(cells, -60, 60), cmap="PuOr", vmin=-75, vmax=75, aspect="auto")
        for i, j in np.ndindex(cells.shape):
            text = (
                "–"
                if np.isnan(cells[i, j])
                else f"{cells[i, j]:+.0f}".replace("-", "−").replace("+0", "0").replace("−0", "0")
            )
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if abs(cells[i, j]) > 45 else INK,
            )
        long = max(map(len, grid.columns)) > 6  # names, not levels
        axes.set_xticks(range(len(grid.columns)), grid.columns, rotation=90 if long else 0)
        axes.set_yticks(range(len(grid.rows)), grid.rows if number == 0 else [""] * len(grid.rows))
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_title(grid.title, fontsize=8.5)
