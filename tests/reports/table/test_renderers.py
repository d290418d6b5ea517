"""Markdown, LaTeX, CSV and JSON say the same numbers, keep hostile names harmless and never print a blank."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmbench.reports.numbers.comparison import compare_all
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.page.record import record_lines
from mmbench.reports.table.data import table_csv, table_json
from mmbench.reports.table.latex import escape as latex_escape
from mmbench.reports.table.latex import prose as latex_prose
from mmbench.reports.table.latex import table_latex
from mmbench.reports.table.markdown import comparison_markdown, table_markdown
from mmbench.reports.table.markdown import prose as markdown_prose
from mmbench.reports.table.published import with_published
from mmbench.reports.table.tables import Table, build_table
from mmbench.reports.table.text import html, number
from mmbench.scores import Score

HOSTILE = "a|b_$x$ <script>100% & #1 [link](http://x) \\evil\nline"


@pytest.fixture
def rows(make_row: Any) -> list[Any]:
    gone = Score.missing("fm_ref", "no weights", "Get them.")
    return [
        make_row(model, f"id{n}", id_similarity=value + 0.01 * n, similarity_decay=-0.0001, fm_ref=gone)
        for model, value in ((HOSTILE, 0.8), ("plain", 0.7))
        for n in range(3)
    ]


@pytest.fixture
def table(rows: list[Any], facts: Any) -> Table:
    return with_published(build_table(take_samples(rows), facts))


def test_markdown_is_one_rectangular_table(table: Table) -> None:
    text = table_markdown(table)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(line) for line in cells} == {1 + len(table.columns)}
    assert len(lines) == 2 + len(table.rows) + 1 + len(table.published)
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(http", text)
    assert all(cell.strip() for line in cells[:4] for cell in line)


def test_markdown_marks_missing_and_published(table: Table) -> None:
    text = table_markdown(table)
    assert "**0.810** \\[" in text
    assert "missing<sup>2</sup> 0/3" in text
    assert "<sup>2</sup> missing: no weights. Get them." in text
    assert text.index("| plain |") < text.index("*published, not ranked*") < text.index("*Magic Mirror*")


def test_no_minus_zero(table: Table) -> None:
    assert number(-0.0001, 3) == "0.000"
    assert "-0.000" not in table_markdown(table).replace("-0.0001", "")


def test_latex_rows_are_rectangular_and_escaped(table: Table) -> None:
    text = table_latex(table)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    named = [row for row in rows[2:] if not row.startswith(" &")]
    assert len(named) == len(table.rows) + len(table.published)
    values = rows.index(named[0])
    assert rows[values + 1].startswith(r" & {\scriptsize [")  # the intervals, below their values
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(table.columns)}
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert r"\textbf{0.810}" in text
    assert r"\textless{}script\textgreater{}" in text
    assert "\u2191" not in text


def test_latex_splits_many_columns_and_keeps_each_tables_notes(make_row: Any, facts: Any) -> None:
    names = [f"m{n}" for n in range(8)]
    many = {name: replace(facts["id_similarity"], name=name, title=f"Metric {name}") for name in names}
    gone = Score.missing("m7", "nothing there.", "Run `mmbench evaluate --retry`.")
    rows = [make_row(model, f"id{n}", **dict.fromkeys(names[:7], 0.1 * n), m7=gone) for model in "ab" for n in range(3)]
    first, second = table_latex(build_table(take_samples(rows), many)).split(r"\end{table*}")[:2]
    assert "Needs \\usepackage{booktabs} and no other" in first
    assert [part.count(r"\begin{tabular}{lrrrr}") for part in (first, second)] == [1, 1]
    assert r"\label{tab:leaderboard}" in first and r"\label{tab:leaderboard-2}" in second
    assert "nothing there" not in first
    assert r"\texttt{mmbench evaluate -{}-retry}" in second
    assert r"{\scriptsize 0/3}" in second and "3/3" not in second  # coverage only where it is not full
    assert "resizebox" not in first + second


@pytest.mark.slow
def test_latex_compiles_with_booktabs_alone(table: Table, tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed (Debian: apt-get install texlive-latex-recommended)")
    head = r"\documentclass[twocolumn]{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "paper.tex").write_text(f"{head}\n{table_latex(table)}\n\\end{{document}}\n", encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [("50%_a", r"50\%\_a"), ("a\\b", r"a\textbackslash{}b"), ("{x}^~", r"\{x\}\textasciicircum{}\textasciitilde{}")],
)
def test_latex_escape(plain: str, escaped: str) -> None:
    assert latex_escape(plain) == escaped


def test_csv_has_a_record_a_number_with_full_precision(table: Table) -> None:
    records = list(csv.DictReader(io.StringIO(table_csv(table))))
    measured = [record for record in records if record["kind"] == "measured"]
    assert len(measured) == len(table.rows) * len(table.columns)
    found = next(r for r in measured if r["model"] == HOSTILE and r["metric"] == "id_similarity")
    assert float(found["mean"]) == table.rows[0].cells[0].mean
    assert (found["mark"], found["backend"], found["n"], found["n_total"]) == ("best", "dlib", "3", "3")
    gone = next(r for r in measured if r["metric"] == "fm_ref")
    assert (gone["state"], gone["mean"]) == ("missing", "")
    assert "no weights" in gone["note"]
    published = [record for record in records if record["kind"] == "published"]
    assert all("arXiv:2501.03931v2" in record["source"] and not record["mark"] for record in published)


def test_csv_cannot_smuggle_a_formula(make_row: Any, facts: Any) -> None:
    table = build_table(take_samples([make_row("=cmd()", "a", id_similarity=0.5)]), facts)
    records = list(csv.DictReader(io.StringIO(table_csv(table))))
    assert records[0]["model"] == "'=cmd()"


def test_json_reads_back_and_holds_everything(table: Table, rows: list[Any], facts: Any) -> None:
    content = json.loads(table_json(table, compare_all(take_samples(rows), facts)))
    assert [row["model"] for row in content["table"]["rows"]] == [HOSTILE, "plain"]
    assert content["comparisons"][0]["differences"][0]["difference"]["n"] == 3
    assert content["table"]["warnings"] == list(table.warnings)


def test_comparisons_in_markdown(rows: list[Any], facts: Any) -> None:
    text = comparison_markdown(compare_all(take_samples(rows), facts))
    assert "<script>" not in text
    assert "| ID similarity ↑ |" in text
    assert text.count("too few to reach p = 0.05") == 1  # said once, not for every metric
    third = [replace(row, item=replace(row.item, model="third", id=f"third/{row.item.identity}")) for row in rows[3:]]
    pairs = compare_all(take_samples([*rows, *third]), facts)
    assert len(pairs) == 3
    assert comparison_markdown(pairs).count("too few to reach p = 0.05") == 1  # nor for every pair


def test_commands_between_backticks_are_code_and_stay_text() -> None:
    assert html("Run `a <b> & c`, not <i>.") == "Run <code>a &lt;b&gt; &amp; c</code>, not &lt;i&gt;."
    assert html("one ` alone <x>") == "one ` alone &lt;x&gt;"
    assert markdown_prose("Run `a_b <x>` & <i>_") == "Run `a_b <x>` &amp; &lt;i&gt;\\_"
    assert latex_prose("Run `a_b --all` & go") == r"Run \texttt{a\_b -{}-all} \& go"


def test_the_lines_of_a_record_are_words_without_empty_values() -> None:
    manifest = {
        "mmbench_version": "1",
        "settings": {"metrics": None, "face": {"backend": "dlib", "frames": ""}, "random_weights": False},
        "weights": {"a.dat": "00ff"},
        "attempts": [{"command": ["mmbench", "run"], "versions": {"numpy": "2"}}],
        "items": 4,
    }
    found = [(line.group, line.name, line.value) for line in record_lines(manifest)]
    assert found == [
        ("", "mmbench", "1"),
        ("", "Clips", "4"),
        ("Settings", "Face: backend", "dlib"),
        ("Settings", "Untrained (random) weights", "no"),
        ("Weights (SHA-256)", "a.dat", "00ff"),
        ("Run", "Command", "mmbench run"),
        ("Run: packages", "numpy", "2"),
    ]
