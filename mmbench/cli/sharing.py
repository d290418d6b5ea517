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


def shard_of(text: str | None) -> Part:
    """The part that was asked for. Says which it is and where that was read; nothing where none was asked for."""
    from mmbench.engine.shard import shard_of as read

    part = read(text)
    if part.source or part.count > 1:
        typer.echo(f"part {part.index} of {part.count}" + (f" ({part.source})" if part.source else ""))
    return part
