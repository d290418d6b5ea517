"""`mmbench plot`: figures for papers, from a run's rows or an ablation's folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Option = typer.Option


class Kind(StrEnum):
    """What is drawn."""

    MEANS = "means"
    PAIRED = "paired"
    ABLATION = "ablation"
    CURVES = "curves"
    MODULATION = "modulation"
    GRID = "grid"


def plot(
    run: Annotated[
        Path, typer.Argument(help="A run of `mmbench evaluate`; for ablation and modulation the folder of `ablate`.")
    ],
    kind: Annotated[Kind, Option(help="What to draw.")] = Kind.MEANS,
    out: Annotated[Path, Option(help="File to write; its ending says PDF, SVG or PNG.")] = Path("figure.pdf"),
    metric: Annotated[list[str] | None, Option(help="Only this metric; repeat for several.")] = None,
    against: Annotated[str, Option(help="The model that `paired` holds the others against.")] = "",
    model: Annotated[list[str] | None, Option(help="A column of `grid`; repeat in the order to show.")] = None,
    rows: Annotated[int, Option(min=1, help="Rows of `grid`.")] = 6,
) -> None:
    """Draw means, paired differences, ablations, curves over training, or a grid of frames."""
    from mmbench.reports.figures.style import save_figure

    figure = _figure(run, kind, tuple(metric or ()), against, tuple(model or ()), rows)
    typer.echo(f"Wrote {save_figure(figure, out)}.")


def _figure(
    run: Path, kind: Kind, metrics: tuple[str, ...], against: str, models: tuple[str, ...], rows: int
) -> Figure:
    from mmbench.metrics.registry import facts_by_name
    from mmbench.reports.figures import ablation, curves, modulation
    from mmbench.reports.figures.grid import grid_figure
    from mmbench.reports.figures.models import means_figure, paired_figure
    from mmbench.reports.numbers.samples import take_samples
    from mmbench.runs.evaluate.store import read_rows

    if kind is Kind.ABLATION:
        return ablation.ablation_figure(ablation.read_ablation(run), metrics)
    if kind is Kind.MODULATION:
        return modulation.modulation_figure(modulation.read_modulation(run))
    facts = facts_by_name()
    measured, sets = read_rows(run)
    if kind is Kind.CURVES:
        return curves.curves_figure(curves.curves_of_rows(measured), facts, metrics)
    if kind is Kind.GRID:
        return grid_figure([row.item for row in measured], models, rows)
    samples = take_samples(measured, sets)
    if kind is Kind.PAIRED:
        return paired_figure(samples, facts, against, metrics)
    return means_figure(samples, facts, metrics)
