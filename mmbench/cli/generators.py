"""`mmbench generators`: what `mmbench generate --model` can be given."""

from __future__ import annotations

from typing import Annotated

import typer


def generators(
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Count the full-size models, in the paper's convention and in all.")
    ] = False,
) -> None:
    """List the models: kind, prompt, size, weights and what they may be used for."""
    if parameters:
        from mmbench.baselines.counts import COUNTERS, report

        for name in COUNTERS:
            typer.echo(report(name))
        return
    from mmbench.baselines.catalogue import catalogue
    from mmbench.weights.registry import human_size

    for row in catalogue():
        native = row.native
        shape = f"{native.size[0]}x{native.size[1]}, {native.frames} frames" if native else "SDXL's sizes"
        size = human_size(row.weight_bytes) if row.weight_bytes else "no registered weights"
        typer.echo(f"{row.name}: {row.kind}, {row.prompt_kind} prompt, {shape}; {size}")
        typer.echo(f"  variants {', '.join(row.variants)}; to try it out {', '.join(row.tiny_variants) or 'none'}")
        for entry in row.options:
            default = "" if entry.default is None else f", else {str(entry.default).lower()}"
            typer.echo(f"  option {entry.name}: {entry.says} ({entry.values}{default})")
        if row.licence:
            typer.echo(f"  {row.licence}")
