"""`mmbench manifest`, and what every command says of its inputs before work starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmbench.runs.inputs.collection import Collection
    from mmbench.runs.inputs.folder import FolderSource


def manifest(
    folder: Annotated[Path, typer.Argument(help="Folder of videos (any format, also frame folders).")],
    references: Annotated[
        Path | None, typer.Option(help="Reference image, or a folder with <identity>.png or <identity>/*.png.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV or JSON map of prompts, as for `evaluate`.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model that made the folder's videos.")] = None,
    pattern: Annotated[
        str | None, typer.Option(help="What paths mean: '{model}/{identity}_{prompt}_{seed}'; {} is of no account.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The CSV to write.")] = Path("manifest.csv"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse inputs of which anything is passed over, cut, merged or overruled.")
    ] = False,
) -> None:
    """Write the CSV of a folder's videos for you to finish: what their names do not tell is left empty."""
    from mmbench.errors import ManifestError
    from mmbench.runs.inputs.folder import FolderSource, collect_folder
    from mmbench.runs.inputs.manifest import write_manifest

    if out.exists():
        raise ManifestError(f"{out}: is there already.", "Name another file with --out, or delete this one.")
    inputs = collect_folder(FolderSource(folder, references, prompts, name, pattern, unfinished=True))
    tell(inputs, strict=strict)
    write_manifest(out, inputs.items)
    typer.echo(f"{out}: {len(inputs.items)} lines. Look it through, then: mmbench evaluate --manifest {out}")


def collect(manifest: Path | None, source: FolderSource | None) -> Collection:
    """The items of a manifest, or of a folder. Raises ManifestError where both are given, or neither."""
    from mmbench.errors import ManifestError
    from mmbench.remote.path import path_of
    from mmbench.runs.inputs.folder import collect_folder
    from mmbench.runs.inputs.manifest import collect_manifest

    if manifest is not None and source is not None:
        raise ManifestError("A manifest and a folder are given.", "Give FOLDER, or --manifest CSV.")
    if manifest is not None:
        return collect_manifest(path_of(manifest))
    if source is not None:
        return collect_folder(source)
    remedy = "Give FOLDER, with --references for everything about faces, or --manifest CSV."
    raise ManifestError("Nothing to evaluate.", remedy)


def tell(inputs: Collection, *, strict: bool = False) -> None:
    """Print models x identities x clips, and a line for each note. Raises ManifestError for notes where `strict`."""
    from mmbench.names import shown
    from mmbench.runs.inputs.collection import summary

    typer.echo(shown(summary(inputs.items)))
    for note in inputs.notes:
        typer.echo(shown(f"note: {note}"))
    if strict:
        inputs.strict()
