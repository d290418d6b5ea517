"""The page: one HTML file with its data, styles and scripts inside and its clips beside it; opens without a network."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from mmbench.files import sha256
from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.comparison import Comparison
from mmbench.reports.numbers.power import why_all_undecidable
from mmbench.reports.numbers.samples import Samples
from mmbench.reports.numbers.standings import standings
from mmbench.reports.numbers.verdicts import format_p
from mmbench.reports.page.clips import ClipView, SceneView
from mmbench.reports.page.data import PageData, page_data
from mmbench.reports.page.plots import colours, distribution_svg
from mmbench.reports.page.record import grouped, record_lines
from mmbench.reports.table.overall import HEADINGS, overall_lines
from mmbench.reports.table.published import PublishedTable
from mmbench.reports.table.tables import Cell, Column, Table, TableRow
from mmbench.reports.table.text import cell_text, html, interval_text, number

SCRIPTS = (
    "dom.js",
    "pieces.js",
    "state.js",
    "sorting.js",
    "clips.js",
    "filters.js",
    "charts.js",
    "clock.js",
    "scenes.js",
    "keys.js",
    "start.js",
)
STYLES = ("page.css",)


@dataclass(frozen=True)
class PageContent:
    """Everything on the page. `everything` is the table with companions; `run` its nested record."""

    table: Table
    everything: Table
    comparisons: tuple[Comparison, ...]
    clips: tuple[ClipView, ...]
    scenes: tuple[SceneView, ...]
    samples: Samples
    published: tuple[PublishedTable, ...]
    run: Mapping[str, Any]
    downloads: tuple[str, ...] = ()


def page_html(content: PageContent, put_beside: Callable[[str, str], str]) -> str:
    """The page as text. Every text of the run is escaped; only our own styles and scripts may run (CSP hashes).

    `put_beside` is given name and text of each piece of a large page's data, and gives the address for the page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    style = "\n".join(_template(name) for name in STYLES)
    script = "\n".join(_template(name) for name in SCRIPTS)
    environment = Environment(
        loader=PackageLoader("mmbench.reports.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = html
    palette = colours([row.model for row in content.table.rows])
    data = _data(content, palette)
    beside = (
        [put_beside(f"clips-{n}.js", f"takePiece({n},{piece});") for n, piece in enumerate(data.pieces)]
        if data.apart
        else []
    )
    plots = [
        (column, Markup(distribution_svg(values, column.facts, palette)))
        for column in content.table.columns
        for values in [_clip_values(column, content.table, content.samples)]
        if any(values.values())
    ]
    return environment.get_template("page.html.jinja").render(
        content=content,
        table=content.table,
        everything=content.everything,
        palette=palette,
        plots=plots,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script, loads=bool(beside)),
        data=Markup(data.main),
        pieces=[] if beside else [Markup(piece) for piece in data.pieces],
        addresses=Markup(json.dumps(beside)),
        without_clips=_without_clips(content),
        left_out=_left_out(content),
        people=len({row.item.identity for row in content.samples.rows}),
        standings=standings(content.comparisons),
        run=grouped(record_lines(content.run)),
        overall=overall_lines(content.table.verdicts, [row.model for row in content.table.rows]),
        overall_headings=HEADINGS,
        undecidable=why_all_undecidable(content.comparisons),
        text_of=cell_text,
        bar_of=_bars(content.everything),
        sort_key=_sort_key,
        folded_of=_folded,
        fixed=_fixed,
        interval=interval_text,
        format_p=format_p,
    )


@dataclass(frozen=True)
class Bar:
    """Where an interval lies in its column: left end, right end and mean, in percent of the column's span."""

    low: float
    high: float
    mean: float


def _bars(table: Table) -> Any:
    """A function (cell, column) -> Bar or None over the span of all measured intervals of the column."""
    spans: dict[str, tuple[float, float]] = {}
    for index, column in enumerate(table.columns):
        cells = [row.cells[index] for row in table.rows]
        ends = [end for cell in cells for end in (cell.low, cell.high, cell.mean) if end is not None]
        if ends and max(ends) > min(ends):
            spans[column.facts.name] = (min(ends), max(ends))

    def bar(cell: Cell, column: Column) -> Bar | None:
        span = spans.get(column.facts.name)
        if span is None or cell.mean is None or cell.low is None or cell.high is None:
            return None
        low, high = span
        return Bar(*(round(100 * (end - low) / (high - low), 1) for end in (cell.low, cell.high, cell.mean)))

    return bar


def _sort_key(cell: Cell) -> str:
    """Full precision for the page's sorting; empty (always last) where there is no number."""
    return "" if cell.mean is None else repr(cell.mean)


def _folded(table: Table) -> list[MetricFacts]:
    """Columns that no measured model has a number in. Where no model has any, nothing is folded."""
    lacking = [
        column.facts
        for index, column in enumerate(table.columns)
        if all(row.cells[index].state != "value" for row in table.rows)
    ]
    return lacking if len(lacking) < len(table.columns) else []


def _fixed(value: float | None, decimals: int) -> str:
    return "" if value is None else number(value, decimals)


def _clip_values(column: Column, table: Table, samples: Samples) -> dict[str, tuple[float, ...]]:
    """Values of the models whose cell is shown; a set statistic has none."""
    index = table.columns.index(column)

    def values(row: TableRow) -> tuple[float, ...]:
        sample = samples.get(row.model, column.facts.name)
        shown = sample is not None and not sample.set_size and row.cells[index].state == "value"
        return sample.values if sample is not None and shown else ()

    return {row.model: values(row) for row in table.rows}


def _without_clips(content: PageContent) -> list[Column]:
    """Columns that have no value on any clip: the leaderboard says why, and a table of clips has no use for them."""
    with_value = {metric for (_, metric), sample in content.samples.by_key.items() if sample.items}
    return [column for column in content.table.columns if column.facts.name not in with_value]


def _left_out(content: PageContent) -> str:
    """What is said where the page holds only some of the clips."""
    total, shown = len(content.samples.rows), len(content.clips)
    if shown == total:
        return ""
    return (
        f"This page shows {shown} of {total} clips: whole scenes, spread evenly over people and prompts. All tables, "
        f"tests and plots are of all {total}. The numbers of the other {total - shown} are in clips.csv beside this "
        "page, their files where the manifest names them; --most-clips shows more."
    )


def _data(content: PageContent, palette: Mapping[str, str]) -> PageData:
    shown = [column.facts for column in content.everything.columns if column.facts.scope == "clip"]
    unmeasured = _without_clips(content)
    columns = [column.facts.name for column in content.table.columns if column not in unmeasured]
    return page_data(content.clips, content.scenes, palette, shown, columns)


def _policy(style: str, script: str, *, loads: bool) -> str:
    """Content security policy: nothing from any network, no script or style sheet but ours. Matplotlib's plots
    carry style attributes, hence `style-src-attr`. A script of ours may load further ones where data lie beside."""
    trusted = f"'{_digest(script)}' 'strict-dynamic'" if loads else f"'{_digest(script)}'"
    return "; ".join(
        (
            "default-src 'none'",
            "img-src 'self' file: data:",
            "media-src 'self' file:",
            f"script-src {trusted}",
            f"style-src '{_digest(style)}'",
            "style-src-attr 'unsafe-inline'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(bytes.fromhex(sha256(text.encode()))).decode()}"


def _template(name: str) -> str:
    return (resources.files("mmbench.reports.page") / "templates" / name).read_text(encoding="utf-8")
