"""`mmbench weights`: list, get, check and locate weight files, and use one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mmbench.cli import completion

if TYPE_CHECKING:
    from mmbench.errors import MMBenchError
    from mmbench.weights import WeightFile

app = typer.Typer(
    help="Weight files: what exists, under which licence, where it lies; get and check them, or use your own. "
    "They lie in MMBENCH_WEIGHTS (default: the platform's cache folder); MMBENCH_MIRROR names the address of a copy to "
    "download from, MMBENCH_OFFLINE=1 forbids downloads."
)

Names = Annotated[
    list[str],
    typer.Argument(help="Names of files or groups (a metric, a model, `metrics`).", autocompletion=completion.weights),
]


class Place(NamedTuple):
    """Where a file is, the digest of the user's own one in its place, and why there is none although there should be.

    A fault is the user's own file that is gone, or an archive that cannot be unpacked.
    """

    path: Path | None
    own_sha256: str = ""
    fault: MMBenchError | None = None


def _place(entry: WeightFile) -> Place:
    from mmbench.errors import MMBenchError
    from mmbench.files import sha256_file
    from mmbench.weights.cache import is_published
    from mmbench.weights.locate import is_user_file, locate

    try:
        where = locate(entry)
    except MMBenchError as fault:
        return Place(None, fault=fault)
    if where is None or not is_user_file(entry):
        return Place(where)
    digest = sha256_file(where)
    return Place(where, "" if is_published(digest, entry) else digest)


@app.command("list")
def list_files(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these files or groups.", autocompletion=completion.weights)
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only files that are not here.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every file with its licence, not one line a group.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show what weight files there are: a line a group; with names or --all, each file's licence, digest and place."""
    from mmbench.weights.registry import expand, registry

    entries = expand(names) if names else list(registry().values())
    rows = [(entry, _place(entry)) for entry in entries]
    if missing:
        rows = [(entry, place) for entry, place in rows if place.path is None]
    if as_json:
        typer.echo(json.dumps([_facts(entry, place) for entry, place in rows], indent=1))
        return
    if not names and not every:
        _print_groups(rows)
        return
    for entry, place in rows:
        _print_entry(entry, place)


@app.command()
def get(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licences and limits shown.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Get the file again; the one that is here stays until then.")
    ] = False,
) -> None:
    """Download files after showing their licences and who may use them. Interrupted downloads go on.

    Ends with status 1 when a file of your own that you put in place of one of them is gone.
    """
    from mmbench.cli.progress import progress_bar
    from mmbench.errors import MMBenchError
    from mmbench.weights.download import get as get_file
    from mmbench.weights.download import is_offline
    from mmbench.weights.locate import locate
    from mmbench.weights.registry import expand

    wanted, faults = [], 0
    for entry in expand(names):
        try:
            if locate(entry) is None or force:
                wanted.append(entry)
        except MMBenchError as fault:
            faults += 1
            typer.echo(f"{entry.name}: {fault}", err=True)
    if not wanted:
        if faults:
            raise typer.Exit(1)
        typer.echo("All here already.")
        return
    _print_terms(wanted)
    if any(entry.limits for entry in wanted) and not is_offline() and not yes:
        if not sys.stdin.isatty():
            typer.echo("Some of these files may not be used by everyone (see `limits`). Repeat with --yes to accept.")
            raise typer.Exit(2)
        typer.confirm("Some of these files may not be used by everyone (see `limits`). Go on?", abort=True)
    with progress_bar() as bar:
        for entry in wanted:
            where = get_file(entry, lambda done, total, name: bar(done >> 20, total >> 20, f"{name}, MiB"), force=force)
            known = "" if entry.is_checked else " (not checked: no digest of it is published; its own is now recorded)"
            typer.echo(f"{entry.name}: {where}{known}")
    if faults:
        raise typer.Exit(1)


@app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Only these files or groups; all by default.", autocompletion=completion.weights),
    ] = None,
) -> None:
    """Read every file that is here and compare its digest. Ends with status 1 when one is wrong."""
    from mmbench.errors import MMBenchError
    from mmbench.weights.cache import read_record, verify
    from mmbench.weights.registry import expand, registry

    wrong = absent = 0
    for entry in expand(names) if names else registry().values():
        try:
            where, own_sha256, fault = _place(entry)
            if fault:
                raise fault
            if where is None:
                absent += 1
                continue
            if own_sha256:
                typer.echo(f"own    {entry.name}: {own_sha256} (your own file {where}, not the registered one)")
                continue
            digest = verify(where, entry)
        except MMBenchError as error:
            wrong += 1
            typer.echo(f"WRONG  {entry.name}: {error}")
            continue
        record = read_record(where)
        first = not entry.is_checked
        how = "as recorded on first download" if first and record else entry.trust
        if first and record and record.trust == "announced":
            how = "as its server announced it"
        typer.echo(f"good   {entry.name}: {digest} ({how})")
    typer.echo(f"{wrong} wrong, {absent} not here.")
    if wrong:
        raise typer.Exit(1)


@app.command()
def path(
    name: Annotated[str, typer.Argument(help="Name of a file.", autocompletion=completion.weights)],
    use: Annotated[Path | None, typer.Option("--use", help="Use this file of yours from now on.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Use the registry's file again.")] = False,
) -> None:
    """Print where a file is, or put a file of your own in its place: every number made with it then says so."""
    from mmbench.weights.cache import set_user_path
    from mmbench.weights.locate import path as find_path
    from mmbench.weights.registry import find

    if use is not None and forget:
        raise typer.BadParameter("--use and --forget exclude each other.")
    entry = find(name)
    if use is not None or forget:
        set_user_path(entry, use)
    if not forget:
        typer.echo(str(find_path(entry)))


def _print_groups(rows: list[tuple[WeightFile, Place]]) -> None:
    """One line a group of files that are of use together, in 80 columns; then how to see more."""
    from mmbench.weights.registry import complete_group, human_size

    found: dict[str, list[tuple[WeightFile, Place]]] = {}
    for entry, place in rows:
        narrow = entry.groups[1:2] if entry.groups[:1] == ("metrics",) else entry.groups[-1:]
        if (whole := complete_group(entry)) != entry.name:  # files that are used together stand in one line
            narrow = (whole,)
        found.setdefault(narrow[0] if narrow else entry.name, []).append((entry, place))
    for name, members in found.items():
        here = sum(place.path is not None for _, place in members)
        size = human_size(sum(entry.size or entry.about or 0 for entry, _ in members))
        marks = [
            *(["limits of use"] if any(entry.limits for entry, _ in members) else []),
            *(["your own file"] if any(place.own_sha256 for _, place in members) else []),
            *(["FAULT"] if any(place.fault for _, place in members) else []),
        ]
        of = f"{here} of {len(members)} here"
        typer.echo(f"{name:<26} {of:<14} {size:>8}  {', '.join(marks)}".rstrip())
    typer.echo("Files, licences, digests and places: mmbench weights list NAME (or --all).")


def _print_entry(entry: WeightFile, place: Place) -> None:
    where = f"here: {place.path}" if place.path else "not here"
    typer.echo(f"{entry.name}  [{entry.size_text}]  {place.fault or where}")
    typer.echo(f"    licence: {entry.licence}")
    if entry.limits:
        typer.echo(f"    limits: {entry.limits}")
    if place.own_sha256:
        typer.echo(f"    your own file, not the registered one; its sha256: {place.own_sha256}")
    typer.echo(f"    {'registered ' if place.own_sha256 else ''}sha256: {entry.sha256 or entry.trust}")


def _print_terms(entries: list[WeightFile]) -> None:
    """Licence and limits of what is about to be downloaded, with files, sizes and addresses under each."""
    from mmbench.weights.download import addresses
    from mmbench.weights.registry import human_size

    terms: dict[tuple[str, str], list[WeightFile]] = {}
    for entry in entries:
        terms.setdefault((entry.licence, entry.limits), []).append(entry)
    for (licence, limits), files in terms.items():
        typer.echo(f"licence: {licence}")
        typer.echo(f"limits: {limits or 'none'}")
        for entry in files:
            where = addresses(entry)[0] if not entry.package else f"package {entry.package}"
            typer.echo(f"    {entry.name}  [{entry.size_text}]  {where}")
    known = sum(entry.size or entry.about or 0 for entry in entries)
    typer.echo(f"{len(entries)} {'file' if len(entries) == 1 else 'files'}, about {human_size(known)} in all.")


def _facts(entry: WeightFile, place: Place) -> dict[str, str | int | list[str] | None]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "size": entry.size,
        "about": entry.about,
        "licence": entry.licence,
        "limits": entry.limits,
        "sha256": entry.sha256,
        "trust": entry.trust,
        "sources": list(entry.sources),
        "archive": entry.archive,
        "groups": list(entry.groups),
        "path": str(place.path) if place.path else None,
        "own_sha256": place.own_sha256 or None,
        "fault": str(place.fault) if place.fault else None,
    }
