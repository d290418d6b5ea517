"""`mmbench submit`: a run as a submission, submissions checked, a board of them, two boards compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.words import plain

if TYPE_CHECKING:
    from mmbench.config import BoardSettings
    from mmbench.runs.submit.check import Checked
    from mmbench.runs.submit.measure import Measured

app = typer.Typer(help="Leaderboards that others join: pack a run, check it, build a board.", no_args_is_help=True)

SHOWN = 20
Rules = Annotated[Path, typer.Option(help="The board's folder, or its board.yaml.")]


@app.command()
def pack(
    run: Annotated[Path, typer.Argument(help="Folder that `mmbench evaluate` wrote.")],
    out: Annotated[Path, typer.Argument(help="New folder; its name is the submission's: letters, digits, dashes.")],
    board: Rules,
    model: Annotated[list[str] | None, typer.Option(help="This model alone; repeat. Default: all of the run.")] = None,
    about: Annotated[str, typer.Option(help="One line that the board shows.")] = "",
    link: Annotated[str, typer.Option(help="https address of the paper or the code.")] = "",
) -> None:
    """A run's rows, what made them, and a few of its clips, in a new folder. Status 1 where they do not hold."""
    from mmbench.cli.progress import progress_bar
    from mmbench.runs.submit.check import check as checked_by
    from mmbench.runs.submit.pack import pack as packed

    rules = _rules(board)
    with progress_bar() as progress:
        card = packed(
            run, out, rules.testset, models=model or (), about=about, link=link, clips=rules.clips, progress=progress
        )
    clips = sum(name != "rows.jsonl" for name in card.files)
    size = sum(file.bytes for file in card.files.values()) / 1e6
    typer.echo(f"{plain(out)}: {', '.join(map(plain, card.models))}; {clips} files of clips, {size:.1f} MB in all.")
    if not _tell(checked_by(out, rules)):
        raise typer.Exit(1)


@app.command()
def check(
    submission: Annotated[list[Path], typer.Argument(help="Folder that `mmbench submit pack` wrote; repeat.")],
    board: Rules,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the clips that came with it again.")] = False,
    device: Annotated[str, typer.Option(help="Where to measure: cpu, cuda, cuda:1.")] = "cpu",
    workers: Annotated[int, typer.Option(min=1, help="Processes that measure.")] = 1,
) -> None:
    """Do submissions hold: files, versions, test set, weights, settings? Status 1 where one does not."""
    from mmbench.cli.progress import progress_bar
    from mmbench.runs.submit.check import check as checked_by
    from mmbench.runs.submit.measure import measure as measured_by

    rules, sound = _rules(board), True
    for folder in submission:
        checked = checked_by(folder, rules)
        sound &= _tell(checked)
        if measure and checked.sound:
            with progress_bar() as progress:
                found = measured_by(checked, rules, device=device, workers=workers, progress=progress)
            sound &= _tell_measured(checked, found)
    if not sound:
        raise typer.Exit(1)


@app.command()
def build(
    board: Annotated[Path, typer.Argument(help="Folder with board.yaml and submissions/.")],
    out: Annotated[Path, typer.Option(help="Folder of the page, to be published as it is.")],
) -> None:
    """One leaderboard of all submissions that hold; the others are named with their faults. Status 1 where one is."""
    from mmbench.cli.board import print_leaderboard
    from mmbench.cli.progress import progress_bar
    from mmbench.reports.boards.build import build_board, find_submissions

    rules, found = find_submissions(board)
    with progress_bar() as progress:
        made = build_board(found, rules, out, progress)
    print_leaderboard(made.report)
    for one in (*made.joined, *made.refused):
        _tell(one)
    if made.refused:
        raise typer.Exit(1)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Folder that `mmbench submit build` or `mmbench report` wrote.")],
    after: Annotated[Path, typer.Argument(help="A newer one.")],
    out: Annotated[Path | None, typer.Option(help="Also write it to this file (.md or .json).")] = None,
) -> None:
    """Who came and went, whose place and numbers are others, and whether the boards can be compared at all."""
    from mmbench.errors import RequestError
    from mmbench.files import write_text
    from mmbench.reports.boards.diff import diff_boards, diff_json, diff_markdown

    if out is not None and out.suffix not in (".md", ".json"):
        raise RequestError(f"{out}: unknown ending {out.suffix!r}.", "Use .md or .json.")
    found = diff_boards(before, after)
    text = diff_markdown(found)
    typer.echo("\n".join(map(plain, text.splitlines())))
    if out is not None:
        write_text(out, text if out.suffix == ".md" else diff_json(found))


def _rules(board: Path) -> BoardSettings:
    from mmbench.config import BoardSettings
    from mmbench.reports.boards.build import RULES

    return BoardSettings.from_yaml(board / RULES if board.is_dir() else board)


def _tell(checked: Checked) -> bool:
    """Say what a check found; whether the submission holds."""
    count = len(checked.rows)
    typer.echo(f"{plain(checked.folder)}: {f'holds, {count} clips' if checked.sound else 'does not hold'}")
    for fault in checked.faults[:SHOWN]:
        typer.echo(f"  fault: {plain(fault)}")
    if len(checked.faults) > SHOWN:
        typer.echo(f"  ... and {len(checked.faults) - SHOWN} more")
    for note in checked.notes:
        typer.echo(f"  note: {plain(note)}")
    return checked.sound


def _tell_measured(checked: Checked, found: Measured) -> bool:
    """Say what measuring the clips again found; whether all numbers are the same."""
    for reason in found.lacking:
        typer.echo(f"  not measured here: {plain(reason)}")
    for one in found.differences[:SHOWN]:
        typer.echo(f"  differs: {plain(one.clip)}, {one.metric}: says {plain(one.said)}, here {plain(one.seen)}")
    if len(found.differences) > SHOWN:
        typer.echo(f"  ... and {len(found.differences) - SHOWN} more")
    same = found.numbers - len(found.differences)
    typer.echo(f"  {found.clips} clips measured again: {same} of {found.numbers} numbers are the same")
    return not found.differences
