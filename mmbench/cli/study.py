"""`mmbench study`: what people say about the clips of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmbench.cli.words import plain
from mmbench.errors import RequestError

app = typer.Typer(help="Blind user studies: marks from 1 to 10, or pairs.", no_args_is_help=True)
MOST_CONSENT = 64 * 1024
"""Bytes that a text to agree to may have: some twenty pages."""

StudyFolder = Annotated[Path, typer.Argument(help="Folder that `mmbench study new` wrote.")]


@app.command()
def new(
    run: Annotated[list[Path], typer.Argument(help="Folder that `mmbench evaluate` wrote; several for more models.")],
    out: Annotated[Path, typer.Option(help="Folder of the study.")],
    kind: Annotated[
        Literal["aspects", "pairs"], typer.Option(help="Marks of single clips, or which of two is better.")
    ] = "aspects",
    sheets: Annotated[int, typer.Option(min=1, help="Sheets: as many raters see different tasks.")] = 50,
    tasks: Annotated[int, typer.Option(min=1, help="Clips (pairs) a sheet.")] = 24,
    repeats: Annotated[int, typer.Option(min=0, help="Of these, shown twice.")] = 3,
    checks: Annotated[int, typer.Option(min=0, help="Attention checks a sheet.")] = 2,
    model: Annotated[list[str] | None, typer.Option(help="This model alone; repeat. Default: all.")] = None,
    scenes: Annotated[int | None, typer.Option(min=1, help="Draw so many persons and prompts. Default: all.")] = None,
    title: Annotated[str, typer.Option(help="Heading that raters see.")] = "Which videos do you like?",
    consent: Annotated[Path | None, typer.Option(help="Text file that raters agree to, in place of ours.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Show the person's picture.")] = True,
    invited: Annotated[bool, typer.Option("--invited", help="A link a rater; nobody else takes part.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of who sees what.")] = 0,
) -> None:
    """Make a blind, balanced study of the clips of runs."""
    from mmbench.cli.progress import progress_bar
    from mmbench.studies.user_study.design import CONSENT
    from mmbench.studies.user_study.make import NewStudy, new_study
    from mmbench.studies.user_study.plan import PlanOptions

    options = NewStudy(
        kind=kind,
        title=title,
        consent=_agreed_text(consent) if consent else CONSENT,
        models=tuple(model or ()),
        scenes=scenes,
        pictures=pictures,
        invited=invited,
        plan=PlanOptions(sheets, tasks, repeats, checks, seed),
    )
    with progress_bar() as progress:
        made = new_study(run, out, options, progress)
    for note in made.notes:
        typer.echo(plain(note))
    typer.echo(f"{len(made.design.sheets)} sheets of {len(made.design.sheets[0])} in {out}.")
    if made.invitations:
        typer.echo(f"Put the lines of {made.invitations} behind the page's address, one for each rater.")
    typer.echo(f"Serve it: mmbench study serve {out}")


def _agreed_text(path: Path) -> str:
    """The text that raters agree to. Raises RequestError for what is no short text of theirs to read."""
    try:
        with path.open("rb") as stream:
            text = stream.read(MOST_CONSENT + 1)
        said = text.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as cause:
        why = "it is no UTF-8 text" if isinstance(cause, UnicodeDecodeError) else str(cause.strerror)
        raise RequestError(f"{path}: the text to agree to cannot be read: {why}.", "Name a UTF-8 text file.") from cause
    if not said or len(text) > MOST_CONSENT:
        why = "is empty" if not said else f"has more than {MOST_CONSENT} bytes"
        raise RequestError(f"{path}: the text to agree to {why}.", "Name a text that raters can read in a minute.")
    return said


@app.command()
def serve(
    study: StudyFolder,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8000,
    root_path: Annotated[str, typer.Option(help="Path of the study behind a proxy, such as /study.")] = "",
    trusted_proxy: Annotated[str, typer.Option(help="Address of a proxy that tells callers' addresses.")] = "",
    raters: Annotated[int, typer.Option(min=1, help="Most raters.")] = 5_000,
) -> None:
    """Serve a study until Ctrl-C; votes are on the disk as they come."""
    from mmbench.errors import require_extra
    from mmbench.studies.user_study.serve import ServeOptions, serve_study

    require_extra("study")
    from mmbench.studies.user_study.guard import StudyLimits

    limits = StudyLimits(raters=raters)
    serve_study(study, ServeOptions(host, port, root_path, trusted_proxy, limits), lambda text: typer.echo(text))


@app.command()
def status(study: StudyFolder) -> None:
    """How many have voted, and how far they are; nothing about models."""
    from mmbench.studies.user_study.status import study_status

    for line in study_status(study).lines:
        typer.echo(plain(line))


@app.command()
def report(
    study: StudyFolder,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; default: STUDY/report.")] = None,
    run: Annotated[
        list[Path] | None, typer.Option(help="Run to compare with; default: those the study was made from.")
    ] = None,
    allow_wrong: Annotated[int, typer.Option(min=0, help="Attention checks that a rater may fail.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Models with intervals beside the published table, how far raters agree, which columns agree with them."""
    from mmbench.studies.user_study.pages import study_markdown, write_study_report
    from mmbench.studies.user_study.report import StudyReportOptions, report_study

    found = report_study(study, StudyReportOptions(tuple(run or ()), allow_wrong, seed))
    for line in study_markdown(found).splitlines():
        typer.echo(plain(line))
    for path in write_study_report(found, out or study / "report"):
        typer.echo(f"wrote {path}", err=True)


@app.command()
def export(
    study: StudyFolder,
    out: Annotated[Path, typer.Argument(help="CSV file of all votes; with --static a new folder.")],
    static: Annotated[
        bool, typer.Option("--static", help="The page and its clips, for a host without a server.")
    ] = False,
) -> None:
    """All votes as a CSV, with models and without names; or the study as a folder that any host can show."""
    from mmbench.studies.user_study.handing import export_votes
    from mmbench.studies.user_study.static import export_static

    if static:
        typer.echo(f"Page: {export_static(study, out)}. Take in the votes: mmbench study import {study} FILES")
    else:
        typer.echo(f"{export_votes(study, out)} answers in {out}")


@app.command(name="import")
def take_in(
    study: StudyFolder,
    file: Annotated[list[Path], typer.Argument(help="Files of votes that raters sent, or folders of them.")],
) -> None:
    """Take in files of votes of a static page; twice is once. Fails where a file was refused."""
    from mmbench.studies.user_study.static import import_votes

    found = import_votes(study, file)
    typer.echo(f"{found.new} new votes of {found.raters} raters.")
    for why in found.refused:
        typer.echo(f"refused: {plain(why)}", err=True)
    if found.refused:
        raise typer.Exit(1)


@app.command()
def delete(
    study: StudyFolder,
    rater: Annotated[int | None, typer.Option(help="This rater's votes alone (the number in the export).")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="The whole study: votes, key, clips, report.")
    ] = False,
) -> None:
    """Delete a rater's votes, or the whole study, for good."""
    from mmbench.errors import RequestError
    from mmbench.studies.user_study.handing import delete_rater, delete_study

    if (rater is None) != everything:
        raise RequestError("Nothing is deleted.", "Say either --rater N or --everything.")
    if rater is not None:
        delete_rater(study, rater)
        typer.echo(f"The votes of rater {rater} are gone.")
    else:
        delete_study(study)
        typer.echo(f"{study} is gone.")
