"""`mmbench data`: build the records to train on, check them, show what was dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli import sharing

app = typer.Typer(help="Training data: build records of a source, check them, show what each filter dropped.")

Folder = Annotated[Path, typer.Argument(help="Folder of a data set that `mmbench data build` made.")]


@app.command()
def build(
    settings: Annotated[Path, typer.Argument(help="YAML file: source, input and what differs from the defaults.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set; sources share it.")] = Path("data"),
    shard: sharing.Shard = None,
    engine: sharing.Engine = "local",
    address: sharing.Address = "",
    workers: Annotated[int, typer.Option(min=1, help="With --engine ray: actors, and parts of the source.")] = 1,
    gpus_per_worker: sharing.GpusPerWorker = 0.0,
    show: Annotated[bool, typer.Option("--show", help="Print the complete settings and do nothing.")] = False,
) -> None:
    """Build the records of one source, or go on with them; then print how many each filter dropped."""
    from mmbench.cli.making import see_own_code
    from mmbench.cli.progress import progress_bar
    from mmbench.data.settings import DataSettings
    from mmbench.errors import RequestError

    chosen = DataSettings.from_yaml(settings)
    if show:
        typer.echo(chosen.to_yaml(), nl=False)
        return
    from mmbench.data import build as making

    spread = sharing.spread_of(shard, engine, address, workers, gpus_per_worker)
    if spread.cluster is not None and shard is not None:
        raise RequestError("--shard and --engine ray both split the source.", "Give one of them.")
    tools = chosen.tools
    see_own_code((tools.faces, tools.captioner, tools.generator, tools.judge))
    with progress_bar() as progress:
        if spread.cluster is not None:
            found = making.build_on_cluster(chosen, out, spread.cluster, progress)
        else:
            found = {chosen.source: making.build(chosen, out, progress=progress, shard=spread.shard)}
    for line in making.describe(found):
        typer.echo(line)


@app.command()
def check(folder: Folder) -> None:
    """Read every record and say what is wrong. Ends with status 1 when something is."""
    from mmbench.cli.progress import progress_bar
    from mmbench.data.check import check as look

    with progress_bar() as progress:
        total, problems = look(folder, progress)
    typer.echo(f"{total} records")
    for problem in problems:
        typer.echo(f"  problem: {problem}")
    if problems:
        raise typer.Exit(1)


@app.command()
def show(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The contact sheet, a PNG.")] = Path("dropped.png"),
    each: Annotated[int, typer.Option(min=1, max=50, help="Examples of each filter.")] = 8,
) -> None:
    """Print how many each filter dropped, and write a contact sheet of examples."""
    from mmbench.data.build import counts, describe
    from mmbench.data.sheet import write_contact_sheet

    for line in describe(counts(folder)):
        typer.echo(line)
    typer.echo(str(write_contact_sheet(folder, out, each)))
