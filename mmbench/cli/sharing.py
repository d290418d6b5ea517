"""Options of every command whose work can be split over processes and machines, each spelt out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmbench.engine.shard import Shard as Part
    from mmbench.engine.spread import Spread

Shard = Annotated[
    str | None,
    typer.Option(
        help="i/n: the i-th of n parts, by the hash of an item's name; auto: the part of the SLURM or torchrun task."
    ),
]

Engine = Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster (extra ray).")]
Address = Annotated[
    str, typer.Option(help="With --engine ray: its address, as auto or ray://HOST:10001; without, Ray on this machine.")
]
GpusPerWorker = Annotated[float, typer.Option(min=0, help="With --engine ray: share of a GPU for each worker.")]


def spread_of(shard: str | None, engine: str, address: str, workers: int, gpus: float) -> Spread:
    """How the work is spread, as typed. Raises RequestError for an engine that there is not."""
    from mmbench.engine.ray import RayCluster
    from mmbench.engine.spread import Spread
    from mmbench.errors import RequestError

    if engine not in ("local", "ray"):
        raise RequestError(f"{engine!r} is no engine.", "Choose local or ray.")
    cluster = RayCluster(address, workers, gpus=gpus) if engine == "ray" else None
    return Spread(shard_of(shard), cluster)


def shard_of(text: str | None) -> Part:
    """The part that was asked for. Says which it is and where that was read; nothing where none was asked for."""
    from mmbench.engine.shard import shard_of as read

    part = read(text)
    if part.source or part.count > 1:
        typer.echo(f"part {part.index} of {part.count}" + (f" ({part.source})" if part.source else ""))
    return part
