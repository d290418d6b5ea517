"""`mmbench validity`: every metric against the truth of rendered faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Option = typer.Option


def validity(
    out: Annotated[Path, Option(help="Folder of the page, the figures and the data.")] = Path("reports/validity"),
    only: Annotated[list[str] | None, Option(help="Only this experiment; repeat for several.")] = None,
    quick: Annotated[
        bool, Option("--quick", help="Two people and few levels: minutes instead of half an hour.")
    ] = False,
    workers: Annotated[int, Option(min=1, help="Processes, one person each.")] = 1,
    work: Annotated[Path | None, Option(help="Folder that keeps renders and faces between runs.")] = None,
    clips: Annotated[
        Path | None,
        Option(help="Instead: put photographs in the place of this manifest's clips, and see who stands above."),
    ] = None,
    redraw: Annotated[bool, Option("--redraw", help="Only draw the page again from its validity.json.")] = False,
) -> None:
    """Check every metric against rendered faces whose identity, pose, motion and flow are known."""
    from mmbench.cli.progress import progress_bar
    from mmbench.studies.validity import runner

    if clips is not None:
        _copies(clips, out, work, workers)
        return
    if redraw:
        done = runner.redraw(out)
    else:
        with progress_bar() as progress:
            done = runner.run_validity(out, only=only or (), quick=quick, workers=workers, work=work, progress=progress)
    for finding in done.findings:
        typer.echo(f"\n{finding.title}\n  {finding.conclusion}")
        for claim in finding.claims:
            typer.echo(f"  {'holds' if claim.holds else 'DOES NOT HOLD'}: {claim.text}")
    typer.echo(f"\nPage: {done.page}")


def _copies(manifest: Path, out: Path, work: Path | None, workers: int) -> None:
    from mmbench.cli.progress import progress_bar
    from mmbench.runs.evaluate.items import read_manifest
    from mmbench.studies.validity import copies, runner

    items = read_manifest(manifest)
    with progress_bar() as progress:
        found = copies.measure_copies(
            items, work or runner.work_folder() / "copies-of-clips", workers=workers, progress=progress
        )
    page = copies.write_copies(found, out)
    typer.echo(page.read_text(encoding="utf-8"))
    typer.echo(f"Page: {page}")
