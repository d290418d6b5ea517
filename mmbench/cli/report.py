"""`mmbench report` and `mmbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmbench.cli import completion
from mmbench.cli.words import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from mmbench.errors import ManifestError
    from mmbench.reports.numbers.comparison import Comparison
    from mmbench.runs.evaluate.rows import ItemRow

SHOWN = 3
"""Names listed in a message before "and N more"."""

RandomWeights = Literal["hide", "show", "rank"]


def report(
    run: Annotated[list[Path], typer.Argument(help="Folder that `mmbench evaluate` wrote; several make one table.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report; default: RUN/report. Needed for several runs.")
    ] = None,
    companions: Annotated[
        bool, typer.Option("--companions", help="All numbers, not only the paper's columns.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Exactly this column; repeat for several.", autocompletion=completion.columns),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            help="overall (nobody above one with a better verdict), manifest, or a metric.",
            autocompletion=completion.orders,
        ),
    ] = "overall",
    guard: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the overall verdict; repeat. Default: the declared set.", autocompletion=completion.columns
        ),
    ] = None,
    published: Annotated[
        list[str] | None, typer.Option(help="Published table to quote below; `none` for none. Default: table1_v2.")
    ] = None,
    clips: Annotated[bool, typer.Option("--clips/--no-clips", help="Put the clips on the page.")] = True,
    most_clips: Annotated[
        int, typer.Option(min=1, help="Clips on the page at most; it says how many are left out. Tables are of all.")
    ] = 2000,
    random_weights: Annotated[
        RandomWeights, typer.Option(help="Numbers made by untrained networks: leave out, show unranked, or rank.")
    ] = "hide",
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "Leaderboard",
    face_form: Annotated[
        list[str] | None,
        typer.Option(help="A column taken from clips of --prompt-form face; repeat for several. Needs both forms."),
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="Compare these two, MODEL,MODEL; repeat. Needed above eight models.")
    ] = None,
    against: Annotated[list[str] | None, typer.Option(help="Compare every model with this one; repeat.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Leaderboard of a run with intervals and coverage, as a page and as Markdown, CSV, LaTeX and JSON."""
    from mmbench.cli.board import print_leaderboard
    from mmbench.reports.build import ReportOptions, build_report
    from mmbench.reports.numbers.overall import guards_named
    from mmbench.reports.table.published import DEFAULT
    from mmbench.reports.table.tables import TableOptions
    from mmbench.runs.mirror import all_mirrored

    quoted = tuple(name for name in published if name != "none") if published is not None else DEFAULT
    table = TableOptions(
        title=title,
        companions=companions,
        metrics=tuple(metric) if metric else None,
        order=order,
        guards=guards_named(guard or ()),
        random_weights=random_weights,
        seed=seed,
        face_form=tuple(face_form or ()),
    )
    with all_mirrored(run, write=out is None) as here, all_mirrored([out] if out else []) as place:
        pairs = tuple(_pair(text, here) for text in pair or ())
        options = ReportOptions(table, quoted, clips, most_clips, pairs, tuple(against or ()))
        print_leaderboard(build_report(here, place[0] if place else None, options))


def _pair(text: str, runs: Sequence[Path]) -> tuple[str, str]:
    """The two models of "MODEL,MODEL", whose names may have commas themselves. Raises RequestError."""
    from mmbench.errors import RequestError
    from mmbench.reports.several import read_runs

    parts = text.split(",")
    splits = [(",".join(parts[:at]).strip(), ",".join(parts[at:]).strip()) for at in range(1, len(parts))]
    if len(splits) > 1:
        models = {row.item.model for row in read_runs(runs).rows}
        splits = [(a, b) for a, b in splits if a in models and b in models]
    if len(splits) != 1:
        raise RequestError(f"--pair {text}: it does not name two models.", "Write MODEL,MODEL.")
    return splits[0]


def rows(
    run: Annotated[list[Path], typer.Argument(help="Folder that `mmbench evaluate` wrote; repeat for several.")],
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv or .jsonl.")],
    numbers: Annotated[
        bool, typer.Option("--numbers", help="A line a number, with reasons, instead of a clip.")
    ] = False,
) -> None:
    """A run's rows for pandas and spreadsheets: a line a clip, or a line a number."""
    from mmbench.reports.several import read_runs
    from mmbench.reports.table.frame import clips_frame, scores_frame, write_frame
    from mmbench.runs.mirror import all_mirrored

    with all_mirrored(run, write=False) as here:
        held = read_runs(here).rows
    frame = scores_frame(held) if numbers else clips_frame(held)
    typer.echo(f"{len(frame)} lines in {write_frame(frame, out)}")


def table(
    leaderboard: Annotated[Path, typer.Argument(help="The leaderboard.json of a report.")],
    into: Annotated[
        Path | None, typer.Option(help="Markdown file: put the table between its marks (`mmbench table` names them).")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the place, where a file holds several tables.")] = "",
) -> None:
    """The short table of a finished report: one number and half its interval a cell, with the overall verdicts."""
    from mmbench.reports.table.short import marks, put_between, read_table, short_markdown

    text = short_markdown(read_table(leaderboard))
    if into is None:
        typer.echo(text, nl=False)
        begin, end = marks(name)
        typer.echo(f"Into a file: --into FILE, between the lines {begin} and {end}", err=True)
    else:
        put_between(into, text, name)
        typer.echo(f"table in {into}")


def compare(
    a: Annotated[str, typer.Argument(help="A run, or RUN:MODEL where the run holds several models.")],
    b: Annotated[str, typer.Argument(help="The other run, or RUN:MODEL.")],
    out: Annotated[Path | None, typer.Option(help="Also write the comparison to this file (.md or .json).")] = None,
    companions: Annotated[bool, typer.Option("--companions", help="Test all numbers, not only the columns.")] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Also compare numbers made by untrained networks.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and the test.")] = 0,
) -> None:
    """Is A better than B? Paired differences with intervals, Holm-adjusted, and what may be concluded.

    Fails where the two sides share no identity.
    """
    from rich.console import Console

    from mmbench.metrics.registry import facts_by_name
    from mmbench.reports.numbers.comparison import compare as compare_rows

    facts = {
        name: fact
        for name, fact in facts_by_name().items()
        if fact.scope == "clip" and (companions or fact.in_default_table)
    }
    rows_a, rows_b = _side(a), _side(b)
    # The same model in two runs: the runs' names tell them apart.
    same = {row.item.model for row in rows_a} == {row.item.model for row in rows_b}
    comparison = compare_rows(
        rows_a,
        rows_b,
        facts,
        name_a=_run_name(a) if same else None,
        name_b=_run_name(b) if same else None,
        random_weights=random_weights,
        seed=seed,
    )
    if comparison.pairing == "none":
        raise _strangers(a, rows_a, b, rows_b)
    print_comparison(comparison, Console(highlight=False))
    if out is not None:
        _write(comparison, out)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Paired differences in the terminal, then one sentence a metric."""
    from rich.table import Table as Grid

    from mmbench.reports.numbers.comparison import sentences
    from mmbench.reports.numbers.verdicts import format_p
    from mmbench.reports.table.tables import Column
    from mmbench.reports.table.text import interval_text, number

    grid = Grid(title=safe(f"{comparison.name_a} against {comparison.name_b}"), title_justify="left")
    for title in ("Metric", comparison.name_a, comparison.name_b, "A - B", "95 % interval", "pairs", "p", "p (Holm)"):
        grid.add_column(safe(title), justify="left" if title == "Metric" else "right")
    for row in comparison.differences:
        digits, estimate = row.facts.decimals, row.difference
        style = {"a better": "green", "b better": "red"}.get(row.verdict, "")
        grid.add_row(
            safe(Column(row.facts).heading),
            "" if row.mean_a is None else number(row.mean_a, digits),
            "" if row.mean_b is None else number(row.mean_b, digits),
            number(estimate.mean, digits) if estimate else "",
            safe(interval_text(estimate.low, estimate.high, digits)) if estimate else "",
            str(estimate.n) if estimate else "",
            "" if row.p is None else format_p(row.p),
            "" if row.p_holm is None else format_p(row.p_holm),
            style=style,
        )
    if comparison.differences:
        console.print(grid)
    summary = comparison.summary[:1].upper() + comparison.summary[1:]
    for text in (summary, *sentences(comparison), *comparison.notes):
        console.print(safe(text), soft_wrap=True)


def _side(spec: str) -> list[ItemRow]:
    """Rows of RUN or RUN:MODEL."""
    from mmbench.errors import ManifestError
    from mmbench.runs.evaluate.store import read_rows

    folder, _, model = spec.rpartition(":")
    if Path(spec).is_dir() or not folder:
        return read_rows(Path(spec))[0]
    rows = read_rows(Path(folder))[0]
    chosen = [row for row in rows if row.item.model == model]
    if not chosen:
        known = ", ".join(sorted({row.item.model for row in rows})) or "none"
        raise ManifestError(f"{folder}: no rows of the model {model!r}.", f"Models there: {known}.")
    return chosen


def _strangers(a: str, rows_a: Sequence[ItemRow], b: str, rows_b: Sequence[ItemRow]) -> ManifestError:
    from mmbench.errors import ManifestError

    def some(rows: Sequence[ItemRow]) -> str:
        names = sorted({row.item.identity for row in rows})
        return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

    return ManifestError(
        f"{a} and {b} share no identity, so nothing can be paired ({some(rows_a)} against {some(rows_b)}).",
        "Evaluate both on the same identities, named alike in both manifests.",
    )


def _run_name(spec: str) -> str:
    folder, _, model = spec.rpartition(":")
    if Path(spec).is_dir() or not folder:
        return Path(spec).resolve().name
    return f"{Path(folder).resolve().name}:{model}"


def _write(comparison: Comparison, out: Path) -> None:
    import json
    from dataclasses import asdict

    from mmbench.errors import ManifestError
    from mmbench.reports.table.markdown import comparison_markdown

    if out.suffix not in (".md", ".json"):
        raise ManifestError(f"{out}: unknown ending {out.suffix!r}.", "Use .md or .json.")
    text = comparison_markdown([comparison]) if out.suffix == ".md" else json.dumps(asdict(comparison), indent=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
