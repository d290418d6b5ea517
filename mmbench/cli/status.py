"""`mmbench status` and `mmbench slurm`: how far a run has come, and the job script that does it in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli.words import plain

Run = Annotated[Path, typer.Argument(help="Folder of a run of `mmbench evaluate` or `mmbench generate`.")]

MOST = 5
"""Reasons that are told."""


def status(
    run: Run,
    parts: Annotated[
        int | None, typer.Option(min=1, help="Tell so many parts apart; as many as the run's commands had.")
    ] = None,
) -> None:
    """Done, failed and missing, by part; what to submit again; who is at work. Status 1 when not all is done."""
    from mmbench.runs.mirror import mirrored
    from mmbench.runs.status import run_status

    with mirrored(run, write=False) as here:
        found = run_status(here, parts)
    whole = found.whole
    total = whole.done + whole.failed + whole.missing
    counts = f"{whole.done} of {total} {found.what} done, {whole.failed} failed, {whole.missing} missing"
    typer.echo(f"{plain(run)}: {counts}")
    if len(found.parts) > 1:
        for part in found.parts:
            counts = f"{part.done} done, {part.failed} failed, {part.missing} missing"
            typer.echo(f"  part {part.index} of {len(found.parts)}: {counts}")
    for reason, count in found.reasons[:MOST]:
        typer.echo(f"  failed {count}: {plain(reason)}")
    if len(found.reasons) > MOST:
        typer.echo(f"  ... and {sum(count for _, count in found.reasons[MOST:])} for other reasons")
    for said in found.at_work:
        who = f"process {said['process']} on {plain(said['machine'])}, since {said['since']}"
        typer.echo(f"  at work: {plain(said['work'])} ({who})")
    if found.resubmit and len(found.parts) > 1:
        typer.echo(f"  submit again: --array={','.join(str(index - 1) for index in found.resubmit)}")
    if whole.failed:
        again = "run the command with --retry" if found.what == "clips" else "run the command again"
        typer.echo(f"  failed ones: {again}")
    if whole.failed or whole.missing:
        raise typer.Exit(1)


def slurm(
    run: Run,
    command: Annotated[
        list[str] | None, typer.Argument(help="Behind --: the command, without mmbench; else the run's last one.")
    ] = None,
    parts: Annotated[int, typer.Option(min=1, help="Tasks of the array.")] = 8,
    gpus: Annotated[int, typer.Option(min=0, help="Of each task.")] = 0,
    cpus: Annotated[int, typer.Option(min=1, help="Of each task.")] = 4,
    memory: Annotated[str, typer.Option(help="Of each task, as 32G.")] = "",
    time: Annotated[str, typer.Option(help="Of each task, as 04:00:00.")] = "",
) -> None:
    """Print a job script: an array of parts that share one folder and end in an orderly way when SLURM says so."""
    from mmbench.runs.slurm import SlurmOptions, slurm_script

    options = SlurmOptions(parts, gpus, cpus, memory, time)
    typer.echo(slurm_script(run, options, command or ()), nl=False)
