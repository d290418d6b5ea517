"""A run's rows into everything a reader may want: Markdown, CSV, LaTeX, JSON and the page, in one folder."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmbench.config import ReportSettings
from mmbench.errors import ManifestError
from mmbench.files import write_text
from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.comparison import Comparison, chosen_pairs, compare_all
from mmbench.reports.numbers.forms import families, samples_of_forms
from mmbench.reports.numbers.overall import guards_named
from mmbench.reports.numbers.samples import Samples
from mmbench.reports.page.clips import MOST_CLIPS, clip_views
from mmbench.reports.page.marker import Marker, read_marker, refuse_foreign, write_marker
from mmbench.reports.page.media import MediaShelf
from mmbench.reports.page.page import PageContent, page_html
from mmbench.reports.table.data import table_csv, table_json
from mmbench.reports.table.frame import clips_csv
from mmbench.reports.table.latex import table_latex
from mmbench.reports.table.markdown import comparison_markdown, table_markdown
from mmbench.reports.table.published import DEFAULT, published_tables, with_published
from mmbench.reports.table.tables import Table, TableOptions, build_table, make_verdicts
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.plain_paths import PathShortener

FILES = ("index.html", "leaderboard.md", "leaderboard.csv", "leaderboard.tex", "leaderboard.json", "clips.csv")
MAX_COMPARED = 8
"""Above so many models, the pairwise tests would drown each other in Holm's correction: pairs are chosen then."""


@dataclass(frozen=True)
class ReportOptions:
    """`published`: ids of published tables to quote below the measured rows. `clips`: put clips on the page.

    `most_clips`: how many of them. The page says how many it leaves out; tables and clips.csv are of all. `pairs` of
    models are compared, and every model `against` one; without either, all pairs of up to eight models.
    """

    table: TableOptions = field(default_factory=TableOptions)
    published: tuple[str, ...] = DEFAULT
    clips: bool = True
    most_clips: int = MOST_CLIPS
    pairs: tuple[tuple[str, str], ...] = ()
    against: tuple[str, ...] = ()


def report_options(settings: ReportSettings) -> ReportOptions:
    """The options of a settings file's `report`. Raises MMBenchError for a guard that is no column."""
    table = TableOptions(
        settings.title,
        metrics=settings.metrics or None,
        order=settings.order,
        guards=guards_named(settings.guards),
        random_weights=settings.random_weights,
        seed=settings.seed,
        face_form=settings.face_form,
    )
    return ReportOptions(table, pairs=settings.pairs, against=settings.against)


@dataclass(frozen=True)
class ReportPaths:
    """The files written, and the table and comparisons they hold. `clips` has a line a clip."""

    page: Path
    markdown: Path
    csv: Path
    latex: Path
    json: Path
    clips: Path
    table: Table
    comparisons: tuple[Comparison, ...]


def build_report(
    run: Path | str | Sequence[Path | str], out: Path | str | None = None, options: ReportOptions | None = None
) -> ReportPaths:
    """Read a run, or several, and write the report to `out` (default: RUN/report).

    Of several runs one table is made (`mmbench.reports.several`), and `out` has to be named. Raises ManifestError for
    what is no run or has no rows.

        >>> import mmbench
        >>> from mmbench.config import EvaluateSettings
        >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
        >>> settings = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})
        >>> run = mmbench.evaluate(items[:2], Path("runs/two"), settings).run
        >>> mmbench.build_report(run).page.is_file()
        True
    """
    from mmbench.metrics.registry import facts_by_name
    from mmbench.reports.several import read_runs

    runs = [Path(run)] if isinstance(run, str | Path) else [Path(one) for one in run]
    if out is None and len(runs) != 1:
        raise ManifestError(f"{len(runs)} runs are named, and no folder for their report.", "Name one: --out FOLDER.")
    with _uncollected():
        held = read_runs(runs)
        place, single = Path(out or runs[0] / "report"), runs[0] if len(runs) == 1 else None
        return write_report(held.rows, held.sets, facts_by_name(), place, options, record=held.record, run=single)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for reference cycles: rows have none, and are millions of objects to walk through."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def check_folder(out: Path) -> None:
    """Raises ManifestError where a report in `out` would replace somebody else's files: before work starts."""
    refuse_foreign(out, (*FILES, "comparisons.md"), read_marker(out))


def write_report(
    rows: Sequence[ItemRow],
    set_rows: Sequence[SetRow],
    facts: Mapping[str, MetricFacts],
    out: Path,
    options: ReportOptions | None = None,
    *,
    record: Mapping[str, Any] | None = None,
    run: Path | None = None,
) -> ReportPaths:
    """Write leaderboard.{md,csv,tex,json}, clips.csv, comparisons.md, index.html, media/ and a marker to `out`.

    Raises ManifestError where one of these files is there and no report of ours wrote it; what else is in `out` stays.

    Equal rows, in any order, give equal files. Texts name files relative to the clips' folder.
    Relative paths in rows are taken from the working directory.
    """
    options = options or ReportOptions()
    if options.table.order == "manifest" and not options.table.models:
        options = replace(options, table=replace(options.table, models=_models_of(record or {})))
    check_folder(out)
    marker = read_marker(out)
    shortener = PathShortener(rows, run)
    samples = samples_of_forms(shortener.rows(rows), shortener.set_rows(set_rows), families(options.table.face_form))
    shelf = MediaShelf(out, keep=options.clips, made=dict(marker.media))
    content = _content(samples, facts, options, shelf, shortener.record(record or {}))
    texts = {
        "leaderboard.md": table_markdown(content.table),
        "leaderboard.csv": table_csv(content.table),
        "leaderboard.tex": table_latex(content.table),
        "leaderboard.json": table_json(content.table, content.comparisons),
        "clips.csv": clips_csv(samples.rows),
        "index.html": page_html(content, shelf.write),
    }
    if content.comparisons:
        texts["comparisons.md"] = comparison_markdown(content.comparisons)
    # Before the files themselves: if this is cut short, the next report still knows what is ours.
    write_marker(out, Marker((*marker.files, *texts), {**marker.media, **shelf.placed}))
    for name, text in texts.items():
        write_text(out / name, text)
    if not content.comparisons:
        (out / "comparisons.md").unlink(missing_ok=True)
    shelf.sweep()
    write_marker(out, Marker(tuple(texts), shelf.placed))
    return ReportPaths(
        page=out / "index.html",
        markdown=out / "leaderboard.md",
        csv=out / "leaderboard.csv",
        latex=out / "leaderboard.tex",
        json=out / "leaderboard.json",
        clips=out / "clips.csv",
        table=content.table,
        comparisons=content.comparisons,
    )


def _models_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Models of a run's record in the manifest's order."""
    items = record.get("items")
    named = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return tuple(dict.fromkeys(str(item["model"]) for item in named if "model" in item))


def _content(
    samples: Samples,
    facts: Mapping[str, MetricFacts],
    options: ReportOptions,
    shelf: MediaShelf,
    run: Mapping[str, Any],
) -> PageContent:
    """Tables, comparisons and clips of the samples; `run` says how they came about. Places the clips on `shelf`."""
    verdicts = make_verdicts(samples, facts, options.table)
    table = with_published(build_table(samples, facts, options.table, verdicts), options.published)
    everything = build_table(samples, facts, replace(options.table, companions=True, metrics=None), verdicts)
    compared = {column.facts.name: column.facts for column in table.columns if column.facts.scope == "clip"}
    models = [row.model for row in table.rows]
    pairs = chosen_pairs(models, options.against, options.pairs) if options.against or options.pairs else None
    compares = pairs is not None or 2 <= len(models) <= MAX_COMPARED
    rank_random = options.table.random_weights == "rank"
    seed = options.table.seed
    clips, scenes = clip_views(samples, facts, shelf, options.most_clips)
    return PageContent(
        table=table,
        everything=everything,
        comparisons=compare_all(samples, compared, pairs, random_weights=rank_random, seed=seed) if compares else (),
        clips=clips,
        scenes=scenes,
        samples=samples,
        published=tuple(published_tables().values()),
        run=run,
        downloads=tuple(name for name in FILES if name != "index.html"),
    )
