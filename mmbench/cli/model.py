"""`mmbench model`: what Magic Mirror costs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The Magic Mirror model: its cost table.", no_args_is_help=True, rich_markup_mode=None)


class Size(StrEnum):
    """Sizes of the model."""

    full = "5b"
    nano = "nano"
    smoke = "smoke"


class Device(StrEnum):
    """Where steps are timed; "none" counts parameters and FLOPs only."""

    none = "none"
    cpu = "cpu"
    cuda = "cuda"


@app.callback()
def _model() -> None:
    """The Magic Mirror model: its cost table."""


@app.command()
def profile(
    config: Annotated[Size, typer.Option(help="Model size.")] = Size.full,
    device: Annotated[
        Device, typer.Option(help="Time steps there with random weights; none: count only.")
    ] = Device.none,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of every row.")] = 7,
    out: Annotated[Path | None, typer.Option(help="Folder for the table as Markdown and JSON.")] = None,
) -> None:
    """Parameters per module, FLOPs per step and, on a device, seconds and memory per step, beside the paper's."""
    from datetime import UTC, datetime

    from rich.console import Console

    from mmbench.errors import require_extra
    from mmbench.model.cost.profile import cost_table
    from mmbench.model.cost.report import as_markdown, write_profile

    require_extra("generate")
    console = Console(highlight=False, soft_wrap=True, markup=False)
    today = datetime.now(UTC).date()
    steps = None
    if device is not Device.none:
        from mmbench.model.cost.steps import check_device, profile_steps

        check_device(config.value, device.value)
        steps = profile_steps(config.value, device.value, rounds, report=console.print)
    cost = cost_table(config.value)
    console.print(as_markdown(cost, steps, today))
    if out is not None:
        for path in write_profile(out, cost, steps, today):
            console.print(f"wrote {path}")
