"""Options of every command whose work can be split over processes and machines, each spelt out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmbench.engine.shard import Shard as Part

Shard = Annotated[
    str | None,
    typer.Option(
        help="i/n: the i-th of n parts, by the hash of an item's name; auto: the part of the SLURM or torchrun task."
    ),
]


def tell_shard(part: Part) -> None:
    """Say which part this process has, and where that was read; nothing where no part was asked for."""
    if part.source or part.count > 1:
        typer.echo(f"part {part.index} of {part.count}" + (f" ({part.source})" if part.source else ""))
