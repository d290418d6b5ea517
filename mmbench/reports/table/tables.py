"""The leaderboard as typed data: models x metrics, every cell a mean with interval and coverage, or a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mmbench.metrics.base import MetricFacts
from mmbench.metrics.registry import no_such_metric
from mmbench.reports.numbers.cautions import cautions, column_is_mixed
from mmbench.reports.numbers.overall import GUARDS, NO_VERDICTS, GuardedColumn, Verdicts, overall
from mmbench.reports.numbers.samples import NOT_ASKED, Gap, Sample, Samples
from mmbench.reports.numbers.stats import cluster_mean
from mmbench.reports.table.overall import verdict_notes

Mark = Literal["", "best", "second"]
RandomWeights = Literal["hide", "show", "rank"]

MIN_COVERAGE = 0.5
"""A mean over less than half of a model's clips is shown but not ranked: it could win by failing."""

MAX_REASONS = 3
UNUSABLE = "clips that could not be used at all; their rows say why"
BRACKETS = "Brackets: 95 % interval of the mean, with identities as the unit; k/n: clips measured of clips given."
OF_A_SET = "set statistic: one value for all clips, no interval"


@dataclass(frozen=True)
class Cell:
    """One number of the table: "value" has `mean`, "missing" has `reason`, "absent" means nobody published it.

    `low` and `high` bound the 95 % interval (None: it cannot be known, `note` says why). `n` of `n_total` clips
    in `n_clusters` identities were measured. `label` names the backend. `gaps` say why the others were not.
    """

    state: Literal["value", "missing", "absent"]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    n_total: int = 0
    n_clusters: int = 0
    method: str = ""
    mark: Mark = ""
    label: str = ""
    random_weights: bool = False
    reason: str = ""
    remedy: str = ""
    note: str = ""
    gaps: tuple[Gap, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the model's clips that have a value."""
        return self.n / self.n_total if self.n_total else 0.0

    @property
    def footnotes(self) -> tuple[str, ...]:
        """What the cell itself has no room for."""
        if self.state == "missing":
            return (f"missing: {self.reason.removesuffix('.')}. {self.remedy}".strip(),)
        lost = [UNUSABLE if gap.unusable else f"clips without a value: {gap.reason}" for gap in self.gaps]
        distinct = list(dict.fromkeys(lost))
        if len(distinct) > MAX_REASONS:
            distinct = [*distinct[:MAX_REASONS], "clips without a value for further reasons; their rows say why"]
        return (*((self.note,) if self.note else ()), *distinct)


@dataclass(frozen=True)
class Column:
    """One metric with the backends that made it, which are always part of its heading."""

    facts: MetricFacts
    labels: tuple[str, ...] = ()

    @property
    def arrow(self) -> str:
        """Direction: which way is better."""
        return "↑" if self.facts.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        """Title with backends and direction, such as "Dynamic degree (dis) ↑"."""
        labels = f" ({' / '.join(self.labels)})" if self.labels else ""
        return f"{self.facts.title}{labels} {self.arrow}"


@dataclass(frozen=True)
class TableRow:
    """One model. Published rows have a `source` and take no part in marks, order or verdicts."""

    model: str
    cells: tuple[Cell, ...]
    kind: Literal["measured", "published"] = "measured"
    n_total: int = 0
    n_clusters: int = 0
    source: str = ""
    random_weights: bool = False


@dataclass(frozen=True)
class Table:
    """Columns, measured rows, published rows below them, and what a reader must know (`warnings`, `notes`).

    `verdicts` are the overall ones, on all pairs of measured rows.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    published: tuple[TableRow, ...] = ()
    verdicts: Verdicts = NO_VERDICTS
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Distinct footnotes of all cells in reading order; a cell's mark is the position in this list."""
        cells = [cell for row in (*self.rows, *self.published) for cell in row.cells]
        return tuple(dict.fromkeys(note for cell in cells for note in cell.footnotes))


@dataclass(frozen=True)
class TableOptions:
    """`companions`: all metrics rather than the default columns. `metrics`: exactly these, in this order.

    `order`: "overall" (nobody stands above a model that is decided to be better, else by name), "manifest" (as `models`
    has them), or the metric whose means order the rows. `guards`: the guarded columns, by default the declared set.

    `random_weights`: numbers made by untrained networks are left out ("hide"), shown but never ranked ("show"),
    or ranked among themselves and all others ("rank", for tests of the machinery). `face_form`: columns that are taken
    from clips of face-enhanced prompts (`mmbench.reports.numbers.forms`).
    """

    title: str = "Leaderboard"
    companions: bool = False
    metrics: tuple[str, ...] | None = None
    order: str = "overall"
    models: tuple[str, ...] = ()
    guards: tuple[GuardedColumn, ...] = GUARDS
    random_weights: RandomWeights = "hide"
    seed: int = 0
    face_form: tuple[str, ...] = ()


def build_table(
    samples: Samples,
    facts: Mapping[str, MetricFacts],
    options: TableOptions | None = None,
    verdicts: Verdicts | None = None,
) -> Table:
    """The table of a run. `facts` are in column order (`mmbench.metrics.registry.facts_by_name`).

    Metrics that nobody asked for are left out and named in a note. Best and second best are marked by each
    metric's direction among trained, comparable, sufficiently covered cells. `verdicts` spares making them again.
    Raises MMBenchError for an unknown name in `options.metrics` or `options.order`.
    """
    options = options or TableOptions()
    columns, unmeasured = _choose(samples, facts, options)
    shown = samples.only(lambda sample: not _hidden(sample, options))
    headings: list[Column] = []
    by_column: list[list[Cell]] = []
    for fact in columns:
        cells = [_cell(samples.get(model, fact.name), fact, options) for model in samples.models]
        comparable = not column_is_mixed(shown, fact.name)
        headings.append(Column(fact, tuple(sorted({cell.label for cell in cells if cell.label}))))
        by_column.append(_mark(cells, fact, options.random_weights) if comparable else cells)
    table_rows = []
    for index, model in enumerate(samples.models):
        own = samples.rows_of(model)
        of_model = tuple(cells[index] for cells in by_column)
        table_rows.append(
            TableRow(
                model=model,
                cells=of_model,
                n_total=len(own),
                n_clusters=len({row.item.identity for row in own}),
                random_weights=any(cell.random_weights for cell in of_model),
            )
        )
    if verdicts is None:
        verdicts = make_verdicts(samples, facts, options)
    place, how = _order(samples, facts, options, verdicts)
    table_rows.sort(key=lambda row: (*place[row.model], row.model.casefold(), row.model))
    uninstalled = sorted({metric for _, metric in samples.by_key} - set(facts))
    return Table(
        title=options.title,
        columns=tuple(headings),
        rows=tuple(table_rows),
        verdicts=verdicts,
        warnings=cautions(shown, {fact.name: fact for fact in columns}),
        notes=(*_notes(table_rows, how, unmeasured, uninstalled), *verdict_notes(verdicts)),
    )


def make_verdicts(samples: Samples, facts: Mapping[str, MetricFacts], options: TableOptions) -> Verdicts:
    """The overall verdicts of a run's models, over the numbers that `options` shows."""
    shown = samples.only(lambda sample: not _hidden(sample, options))
    rank_random = options.random_weights == "rank"
    return overall(shown, facts, options.guards, random_weights=rank_random, seed=options.seed)


def _order(
    samples: Samples, facts: Mapping[str, MetricFacts], options: TableOptions, verdicts: Verdicts
) -> tuple[dict[str, tuple[float, ...]], str]:
    """Where each model stands, and a note that says by what; models of one place stand by name."""
    if options.order == "overall":
        depth = verdicts.depth
        note = "Nobody stands above a model with a better overall verdict; models that none sets apart stand by name."
        return {model: (depth[model],) for model in samples.models}, note
    if options.order == "manifest":
        known = {model: index for index, model in enumerate(options.models)}
        note = "Models stand in the manifest's order." if known else "Models stand by name."
        return {model: (known.get(model, len(known)),) for model in samples.models}, note
    if options.order not in facts:
        raise no_such_metric(options.order, facts)
    fact = facts[options.order]
    cells = {model: _cell(samples.get(model, fact.name), fact, options) for model in samples.models}
    sign = -1 if fact.higher_is_better else 1
    place: dict[str, tuple[float, ...]] = {}
    for model, cell in cells.items():
        place[model] = (1.0,) if cell.mean is None else (0.0, sign * cell.mean)
    return place, f"Models stand by {fact.title}, best first; those without a value last."


def _choose(
    samples: Samples, facts: Mapping[str, MetricFacts], options: TableOptions
) -> tuple[list[MetricFacts], list[str]]:
    """Columns to show, and the paper's columns that this run never tried.

    By default the paper's are shown, and those that stand beside them.
    """
    if options.metrics is not None:
        unknown = [name for name in options.metrics if name not in facts]
        if unknown:
            raise no_such_metric(unknown[0], facts)
        return [facts[name] for name in options.metrics], []
    wanted = [fact for fact in facts.values() if options.companions or fact.in_default_table]
    tried = {
        metric
        for (_, metric), sample in samples.by_key.items()
        if sample.values or any(gap.reason != NOT_ASKED for gap in sample.gaps)
    }
    return [fact for fact in wanted if fact.name in tried], [
        fact.title for fact in wanted if fact.column and fact.name not in tried
    ]


def _cell(sample: Sample | None, facts: MetricFacts, options: TableOptions) -> Cell:
    if sample is None:
        return Cell("missing", reason=NOT_ASKED, remedy=f"Evaluate again with the metric {facts.name}.")
    if _hidden(sample, options):
        return Cell(
            "missing",
            n_total=sample.n_total,
            random_weights=True,
            reason="made with untrained (random) weights, which say nothing about quality",
            remedy="Get the trained weights, or show such numbers on purpose with --random-weights show.",
        )
    if not sample.values:
        reason, remedy = _why(sample)
        return Cell("missing", n_total=sample.n_total, reason=reason, remedy=remedy)
    label = " + ".join(sample.labels)
    if sample.set_size:
        return Cell(
            "value",
            mean=sample.values[0],
            n=sample.set_size,
            n_total=sample.n_total,
            label=label,
            random_weights=sample.random_weights,
            note="; ".join((OF_A_SET, *sample.remarks)),
        )
    estimate = cluster_mean(sample.values, sample.clusters, bounds=facts.range, seed=options.seed)
    return Cell(
        "value",
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        n_total=sample.n_total,
        n_clusters=estimate.n_clusters,
        method=estimate.method,
        label=label,
        random_weights=sample.random_weights,
        note="; ".join((*((estimate.note,) if estimate.method != "t" and estimate.note else ()), *sample.remarks)),
        gaps=sample.gaps,
    )


def _hidden(sample: Sample, options: TableOptions) -> bool:
    return sample.random_weights and options.random_weights == "hide"


def _why(sample: Sample) -> tuple[str, str]:
    """The most frequent reason, one of the metric rather than of an unusable clip; with others, how many."""
    gaps = [gap for gap in sample.gaps if not gap.unusable] or list(sample.gaps)
    others = len(gaps) - 1
    more = f" (and {others} other reason{'s' if others > 1 else ''} on other clips)" if others else ""
    return gaps[0].reason.rstrip(".") + more, gaps[0].remedy


def _mark(cells: list[Cell], facts: MetricFacts, random_weights: RandomWeights) -> list[Cell]:
    """Mark best and second best, as printed: what looks equal shares both, and two bests leave no second."""
    sign = 1 if facts.higher_is_better else -1
    keys = [
        round(sign * cell.mean, facts.decimals)
        if cell.mean is not None
        and cell.coverage >= MIN_COVERAGE
        and (random_weights == "rank" or not cell.random_weights)
        else None
        for cell in cells
    ]
    ranked = sorted((key for key in keys if key is not None), reverse=True)
    if len(ranked) < 2 or ranked[0] == ranked[-1]:
        return cells
    second = ranked[1] if ranked[1] != ranked[0] else None
    marks: list[Mark] = [
        "" if key is None else "best" if key == ranked[0] else "second" if key == second else "" for key in keys
    ]
    return [replace(cell, mark=mark) for cell, mark in zip(cells, marks, strict=True)]


def _notes(rows: Sequence[TableRow], order: str, unmeasured: Sequence[str], unknown: Sequence[str]) -> tuple[str, ...]:
    methods = {cell.method for row in rows for cell in row.cells}
    notes = [BRACKETS]
    if "t" in methods:
        notes.append("With fewer than 8 identities the interval is a t interval with cluster-robust error.")
    if "exact" in methods:
        notes.append("Yes/no values, and shares on a bound but for few identities, have an exact binomial interval.")
    if len(rows) > 1:
        notes.append(order)
    if any(cell.mark for row in rows for cell in row.cells):
        notes.append("Best is bold, second best underlined; a mark is not a test: see the paired differences.")
    if any(row.random_weights for row in rows):
        notes.append("Numbers made by untrained (random) weights only show that the machinery runs.")
    if unmeasured:
        notes.append(f"Not measured in this run: {', '.join(unmeasured)}.")
    if unknown:
        notes.append(f"In the rows but of no installed metric, so not shown: {', '.join(unknown)}.")
    return tuple(notes)
