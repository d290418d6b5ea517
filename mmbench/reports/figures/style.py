"""How all figures look, and how they are saved: text stays text, equal input gives equal bytes on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mmbench.errors import RequestError
from mmbench.files import whole
from mmbench.reports.page.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final = (".pdf", ".svg", ".png")
PANEL: Final = (3.0, 2.4)
"""Inches of one panel."""


@contextmanager
def styled() -> Iterator[None]:
    """The style of every figure, for as long as the block lasts."""
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "mmbench",
        "pdf.fonttype": 42,
        "text.parse_math": False,  # a model called $x$ is a name, not a formula
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 9,
        "legend.frameon": False,
        "savefig.dpi": 110,
    }
    with mpl.rc_context(style):
        yield


def panels(count: int, columns: int = 4, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of at most `columns`. Raises RequestError for none."""
    from matplotlib.figure import Figure

    if count < 1:
        raise RequestError("There is nothing to draw.", "Name metrics that were measured.")
    wide = min(count, columns)
    rows = -(-count // wide)
    figure = Figure(figsize=(size[0] * wide, size[1] * rows), layout="constrained")
    grid = figure.subplots(rows, wide, squeeze=False)
    every = list(grid.flat)
    for spare in every[count:]:
        spare.remove()
    return figure, every[:count]


def colour_of(names: list[str]) -> dict[str, str]:
    """One colour a name, going round the palette."""
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def save_figure(figure: Figure, path: Path) -> Path:
    """Save as the path's ending says. Raises RequestError for another ending than PDF, SVG and PNG."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise RequestError(f"{path}: figures are not written as {kind or 'no'} files.", "End it in .pdf, .svg or .png.")
    dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled(), whole(path) as part:
        figure.savefig(part, format=kind[1:], metadata=dates)
    return path
