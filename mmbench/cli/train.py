"""`mmbench train`: train an adapter, or a base, from a settings file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.progress import PLAIN_EVERY

if TYPE_CHECKING:
    from mmbench.model.train.loop import StepReport

STOPPED = 143
"""Exit code of a run that SIGTERM or Ctrl-C ended after its step: 128 and SIGTERM's number."""


def train(
    settings: Annotated[str, typer.Argument(help="YAML file, or a preset: paper-image, paper-video, nano-image, ...")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name of the settings>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the complete settings and do nothing.")] = False,
) -> None:
    """Train Magic Mirror's adapter (or a base). Start it with `accelerate launch` or `torchrun` for several GPUs."""
    from mmbench.cli.making import see_own_code
    from mmbench.model.train.settings import read_settings

    chosen, folder = read_settings(settings)
    if show:
        typer.echo(chosen.to_yaml(), nl=False)
        return
    from mmbench.studies.training import train_and_validate

    target = out or Path("runs") / Path(settings).stem
    see_own_code(_values(chosen.model_dump()))
    with step_progress() as report:
        done = train_and_validate(chosen, folder, target, resume=resume, report=report)
    for release in done.releases:
        typer.echo(f"wrote {release}")
    typer.echo(f"{done.steps} steps done, last checkpoint {done.checkpoint}")
    if done.interrupted:
        typer.echo("Stopped. Run the same command with --resume to continue.", err=True)
        raise typer.Exit(STOPPED)


@contextmanager
def step_progress() -> Iterator[Callable[[StepReport], None]]:
    """A bar with loss, throughput and time left on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield _plain()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def report(step: StepReport) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(step.stage, total=step.steps, said="")
            bar.update(tasks[step.stage], completed=step.step, said=say(step))

        yield report


def say(step: StepReport) -> str:
    """Loss, rate, throughput and time left of a step in one line."""
    parts = [f"loss {step.loss:.4f}", f"lr {step.rate:.1e}"]
    if math.isfinite(step.identity):
        parts.insert(1, f"cos {step.identity:.3f}")
    if math.isfinite(step.samples_per_second):
        parts += [f"{step.samples_per_second:.2f} samples/s", f"{time_left(step.seconds_left)} left"]
    return ", ".join(parts)


def time_left(seconds: float) -> str:
    """ "2 d 03 h", "3 h 07 min", "41 min" or "12 s"."""
    minutes = int(seconds // 60)
    if minutes >= 24 * 60:
        return f"{minutes // (24 * 60)} d {minutes // 60 % 24:02d} h"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _plain() -> Callable[[StepReport], None]:
    told = -math.inf

    def report(step: StepReport) -> None:
        nonlocal told
        now = time.monotonic()
        if step.step not in (1, step.steps) and now - told < PLAIN_EVERY:
            return
        told = now
        print(f"{step.stage}: {step.step}/{step.steps}, {say(step)}", file=sys.stderr, flush=True)

    return report


def _values(settings: object) -> Iterator[object]:
    """All values of nested settings."""
    inner = (
        settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list | tuple) else None
    )
    if inner is None:
        yield settings
        return
    for value in inner:
        yield from _values(value)
