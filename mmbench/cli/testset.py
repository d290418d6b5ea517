"""`mmbench testset`: build, check and show test sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli import completion

app = typer.Typer(help="Test sets: build PubFig-50 from its sources, check a set, show it as a contact sheet.")

Set = Annotated[
    str,
    typer.Argument(
        help="A test set's name or its folder; testsets/README.md lists them.", autocompletion=completion.testsets
    ),
]


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="pubfig50")],
    lists: Annotated[list[Path] | None, typer.Option("--list", help="PubFig's dev_urls.txt, eval_urls.txt.")] = None,
    download_lists: Annotated[bool, typer.Option(help="Download both lists from PubFig's site.")] = False,
    own: Annotated[Path | None, typer.Option(help="CSV of your own pictures: identity, file[, box, licence].")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Folder with VBench's four prompt files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the set; the cache by default.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Pictures fetched at once.")] = 8,
    faces: Annotated[bool, typer.Option("--faces/--no-faces", help="Refuse pictures where dlib sees no face.")] = True,
    partial: Annotated[bool, typer.Option(help="End with status 0 although identities lack pictures.")] = False,
) -> None:
    """Build PubFig-50: fetch pictures, replace dead links, choose prompts, report the coverage."""
    from mmbench.cli.progress import progress_bar
    from mmbench.errors import ManifestError
    from mmbench.testsets.faces import dlib_has_face
    from mmbench.testsets.load import testsets_dir
    from mmbench.testsets.pubfig50.build import build_pubfig50, describe, fetch_lists, read_plan

    if name != "pubfig50":
        raise ManifestError(f"{name} is not built.", "Only pubfig50 is; synthetic50 is part of the package.")
    folder = out or testsets_dir() / name
    typer.echo(f"PubFig-50: {read_plan().licence}")
    with progress_bar() as progress:
        given = [*(lists or ()), *(fetch_lists(folder / "lists", progress) if download_lists else ())]
        detector = dlib_has_face() if faces else None
        coverage = build_pubfig50(folder, given, own, prompts, workers=workers, has_face=detector, progress=progress)
    for line in describe(coverage):
        typer.echo(line)
    typer.echo(f"Written to {folder}; every reason is in {folder / 'coverage.json'}.")
    if (coverage.lacking or coverage.short) and not partial:
        raise typer.Exit(1)


@app.command()
def check(
    testset: Set,
    faces: Annotated[bool, typer.Option("--faces/--no-faces", help="Look for a face in every picture.")] = True,
) -> None:
    """Read a set and say what is wrong with it. Ends with status 1 when something is."""
    from mmbench.testsets.check import check_testset
    from mmbench.testsets.faces import dlib_has_face

    found, problems = check_testset(testset, dlib_has_face() if faces else None)
    groups = Counter(identity.group for identity in found.identities)
    typer.echo(f"{found.name}: {len(found.identities)} identities, {found.size} prompts, in {found.folder}")
    typer.echo("  " + ", ".join(f"{count} {group or 'of no group'}" for group, count in groups.items()))
    if found.licence:
        typer.echo(f"  licence: {found.licence}")
    for problem in problems:
        typer.echo(f"  problem: {problem}")
    if problems:
        raise typer.Exit(1)


@app.command()
def show(
    testset: Set,
    out: Annotated[Path, typer.Option(help="The contact sheet, a PNG.")] = Path("contact_sheet.png"),
    prompts: Annotated[bool, typer.Option("--prompts", help="Print the prompts of every identity.")] = False,
    long: Annotated[bool, typer.Option("--long", help="With --prompts: the long ones.")] = False,
    face: Annotated[bool, typer.Option("--face", help="With --prompts: the face-enhanced ones.")] = False,
) -> None:
    """Write a contact sheet of a set, and print its prompts."""
    from mmbench.testsets.load import load_testset
    from mmbench.testsets.sheet import write_contact_sheet

    found = load_testset(testset)
    if prompts:
        for identity in found.identities:
            for prompt in identity.prompts:
                text = prompt.face if face else prompt.long if long else prompt.short
                typer.echo(f"{identity.id}\t{prompt.index}\t{text}")
    typer.echo(str(write_contact_sheet(found, out)))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder that `mmbench evaluate` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for OpenS2V's files.")],
    model: Annotated[str | None, typer.Option(help="The model, where the run holds several.")] = None,
    testset: Annotated[str, typer.Option(help="opens2v-human, or the folder of OpenS2V-Eval.")] = "opens2v-human",
    videos: Annotated[bool, typer.Option("--videos/--no-videos", help="Copy the videos under OpenS2V's names.")] = True,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Also numbers made by untrained networks.")
    ] = False,
) -> None:
    """Write a run on OpenS2V's samples as OpenS2V's own files; its total too, once every part of it is there."""
    from mmbench.names import shown
    from mmbench.reports.opens2v import export_opens2v

    made = export_opens2v(run, out, model=model, testset=testset, videos=videos, random_weights=random_weights)
    counts = ", ".join(f"{name} {count}" for name, count in made.parts.items())
    typer.echo(shown(f"{made.model}: {made.measured} of {made.samples} samples in {made.folder}"))
    typer.echo(f"  samples by part: {counts}")
    for line in made.lacking:
        typer.echo(shown(f"  lacking: {line}"))
    if made.total is not None:
        typer.echo(f"  total (Human-Domain): {made.total:.4f}")
