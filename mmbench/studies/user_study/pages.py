"""A study's report as files: Markdown to read, JSON with every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmbench.files import write_json, write_text
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.numbers.people.bradley_terry import BradleyTerry
from mmbench.reports.table.data import table_csv
from mmbench.reports.table.latex import table_latex
from mmbench.reports.table.markdown import escape, prose, table_markdown
from mmbench.reports.table.text import ABSENT, interval_text, number
from mmbench.studies.user_study.report import StudyReport


def write_study_report(report: StudyReport, out: Path) -> list[Path]:
    """Write the report as Markdown and JSON, and for marks the table as CSV and LaTeX; their paths."""
    texts = {"report.md": study_markdown(report)}
    if report.table is not None:
        texts |= {"table.csv": table_csv(report.table), "table.tex": table_latex(report.table, "tab:user-study")}
    for name, text in texts.items():
        write_text(out / name, text)
    write_json(out / "report.json", study_json(report))
    return [*(out / name for name in texts), out / "report.json"]


def study_markdown(report: StudyReport) -> str:
    """The whole report as GitHub shows it."""
    design = report.judgements.design
    titles = {question.id: question.title for question in design.questions}
    lines = [table_markdown(report.table)] if report.table is not None else [f"# {escape(design.title)}", ""]
    for question, found in report.strengths.items():
        lines += _strengths(titles[question], found)
    lines += ["## How far raters agree", ""]
    lines += _grid(
        [
            "Question",
            "Krippendorff's alpha",
            "items judged twice or more",
            "same answer when asked again",
            "mean difference",
        ],
        [
            [
                titles[question],
                _bracketed(alpha.value, alpha.low, alpha.high, 3) + (f" ({alpha.note})" if alpha.note else ""),
                str(alpha.n_units),
                f"{steady.same} of {steady.n}",
                ABSENT if steady.apart is None else number(steady.apart, 2),
            ]
            for (question, alpha), steady in zip(report.alphas.items(), report.steadiness, strict=True)
        ],
    )
    level = "ordinal, of pairs" if design.kind == "pairs" else "interval, of marks"
    lines += [f"Alpha at the level {level}: 1 is full agreement, 0 none beyond chance.", ""]
    if report.tracking:
        lines += _tracking(report, titles)
    lines += ["## Account", "", *(f"- {prose(note)}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def study_json(report: StudyReport) -> dict[str, Any]:
    """Every number of the report; no rater's answers."""
    said = report.judgements
    table = report.table
    return {
        "study": said.design.id,
        "title": said.design.title,
        "kind": said.design.kind,
        "raters": len(said.raters),
        "raters_counted": sum(rater.counts for rater in said.raters),
        "judgements": len(said.first),
        "marks": [
            {"model": row.model, "kind": row.kind, "question": column.facts.name, "source": row.source}
            | {"mean": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n, "state": cell.state}
            for row in ((*table.rows, *table.published) if table else ())
            for cell, column in zip(row.cells, table.columns if table else (), strict=True)
        ],
        "strengths": {question: asdict(found) for question, found in report.strengths.items()},
        "alpha": {question: asdict(alpha) for question, alpha in report.alphas.items()},
        "steadiness": [asdict(one) for one in report.steadiness],
        "tracking": {
            question: [{**asdict(one), "verdict": one.verdict} for one in found]
            for question, found in report.tracking.items()
        },
        "notes": list(report.notes),
    }


def _strengths(title: str, found: BradleyTerry) -> list[str]:
    lines = [f"## {escape(title)}", ""]
    lines += _grid(
        ["Model", "Strength (log-odds)", "Score of 1", "votes"],
        [
            [one.model, _bracketed(one.value, one.low, one.high, 2), number(one.score, 3), str(one.n)]
            for one in found.strengths
        ],
    )
    lines += _grid(
        ["Preferred", "to", "how often (draw: half)", "votes"],
        [[one.model, one.other, _bracketed(one.value, one.low, one.high, 3), str(one.n)] for one in found.pairs],
    )
    said = "Bradley-Terry, draws as half a win; 0 is the average model. Brackets: 95 % over raters and identities"
    return [*lines, "".join([said, *(f"; {escape(note)}" for note in found.notes), "."]), ""]


def _tracking(report: StudyReport, titles: dict[str, str]) -> list[str]:
    facts = facts_by_name()
    names = list(dict.fromkeys(one.metric for found in report.tracking.values() for one in found))
    cells = {(question, one.metric): one for question, found in report.tracking.items() for one in found}
    body = []
    for name in names:
        row = [facts[name].title if name in facts else name]
        for question in report.tracking:
            one = cells.get((question, name))
            text = ABSENT if one is None or one.value is None else _bracketed(one.value, one.low, one.high, 2)
            row.append(text if one is None or one.verdict == "undecided" else f"**{text} {one.verdict}**")
        body.append(row)
    pairs = report.judgements.design.kind == "pairs"
    what = "the difference of two clips with the votes between them" if pairs else "a clip's number with its mean mark"
    tests = len(names) * len(report.tracking)
    return [
        "## Which columns agree with people",
        "",
        *_grid(["Metric", *(titles[question] for question in report.tracking)], body, ready=True),
        f"Spearman's correlation of {what}, turned so that above 0 is agreement. Brackets: 95 % interval over raters "
        f"and identities; of {tests} such intervals about {max(1, round(tests * 0.05))} miss by chance.",
        "",
    ]


def _grid(head: Sequence[str], body: Sequence[Sequence[str]], *, ready: bool = False) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rows = [[escape(row[0]), *(row[1:] if ready else map(escape, row[1:]))] for row in body]
    return [line(list(map(escape, head))), line(["---", *["---:"] * (len(head) - 1)]), *map(line, rows), ""]


def _bracketed(value: float | None, low: float | None, high: float | None, digits: int) -> str:
    if value is None:
        return ABSENT
    bounds = interval_text(low, high, digits)
    return f"{number(value, digits)} {bounds}".strip()
