"""`mmbench report` and `mmbench compare` as typed on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mmbench.cli.report import compare, report
from mmbench.errors import ManifestError
from mmbench.runs.evaluate.store import RowWriter


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command("report")(report)
    made.command("compare")(compare)
    return made


@pytest.fixture
def run(tmp_path: Path, make_row: Any, tiny_clip: Path) -> Path:
    """A run of two models, twelve identities; "[b]old" wins on identity, and its name looks like markup."""
    folder = tmp_path / "run-one"
    with RowWriter(folder, "0000-0") as writer:
        for model, value in (("plain", 0.80), ("[b]old", 0.85)):
            for n in range(12):
                writer.add(make_row(model, f"id{n}", video=tiny_clip, id_similarity=value + 0.001 * (n * 7 % 5)))
    return folder


def test_report_prints_the_table_and_the_page(app: typer.Typer, run: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "[b]old" in result.output
    assert "0.852 ±0.00" in result.output
    assert "[b]old: not decided" in result.output or "Overall" not in result.output
    assert "not ranked" in result.output and "Magic Mirror" in result.output
    page = run / "report" / "index.html"
    assert f"Page: {page}" in result.output
    assert page.is_file()


def test_a_narrow_terminal_is_not_overrun(app: typer.Typer, run: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run)], env={"COLUMNS": "50"}, catch_exceptions=False)
    board = result.output[: result.output.index("± half")]
    assert "0.852 ±" in board and "0.802 ±" in board
    assert "…" not in board
    assert max(len(line.rstrip()) for line in board.splitlines()) <= 50


@pytest.mark.parametrize("name", ["[/x]", "run [v2]", "[bold]"])
def test_a_run_folder_may_look_like_markup(app: typer.Typer, run: Path, name: str) -> None:
    strange = run.parent / name / "run"
    strange.parent.mkdir(parents=True, exist_ok=True)
    run.rename(strange)
    result = CliRunner().invoke(app, ["report", str(strange)], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"Page: {strange / 'report' / 'index.html'}" in result.output
    again = CliRunner().invoke(app, ["compare", f"{strange}:[b]old", f"{strange}:plain"], catch_exceptions=False)
    assert "[b]old is better in" in again.output


def test_report_options(app: typer.Typer, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    arguments = ["report", str(run), "--out", str(out), "--published", "none", "--no-clips", "--title", "Mine"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "published" not in result.output
    assert not (out / "media").exists()
    assert (out / "leaderboard.md").read_text().startswith("# Mine\n")


def test_compare_two_models_of_one_run(app: typer.Typer, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison.json"
    arguments = ["compare", f"{run}:[b]old", f"{run}:plain", "--out", str(out)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "[b]old is better in" in result.output
    assert json.loads(out.read_text())["differences"][0]["verdict"] == "a better"
    markdown = tmp_path / "comparison.md"
    CliRunner().invoke(app, [*arguments[:3], "--out", str(markdown)], catch_exceptions=False)
    assert "against plain" in markdown.read_text()


def test_compare_the_same_model_in_two_runs(app: typer.Typer, run: Path, make_row: Any) -> None:
    other = run.parent / "run-two"
    with RowWriter(other, "0000-0") as writer:
        for n in range(12):
            writer.add(make_row("plain", f"id{n}", id_similarity=0.80))
    result = CliRunner().invoke(app, ["compare", f"{run}:plain", str(other)])
    assert "run-one:plain against run-two" in result.output


def test_compare_a_run_with_itself_says_so(app: typer.Typer, run: Path) -> None:
    arguments = ["compare", f"{run}:plain", f"{run}:plain"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Both sides are the same rows" in result.output
    assert "too few" not in result.output


def test_compare_without_a_shared_identity_fails(app: typer.Typer, run: Path, make_row: Any, tmp_path: Path) -> None:
    other, out = tmp_path / "strangers", tmp_path / "comparison.md"
    with RowWriter(other, "0000-0") as writer:
        writer.add(make_row("plain", "zoe", id_similarity=0.80))
    arguments = ["compare", f"{run}:plain", str(other), "--out", str(out)]
    with pytest.raises(ManifestError, match=r"share no identity.*id0, id1, id10 and 9 more against zoe"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert CliRunner().invoke(app, arguments).exit_code != 0
    assert not out.exists()


def test_user_errors_are_sentences(app: typer.Typer, run: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (["report", str(tmp_path)], "not a run"),
        (["compare", str(run), str(run)], "holds 2 models"),
        (["compare", f"{run}:nobody", str(run)], "no rows of the model 'nobody'"),
        (["report", str(run), "--published", "table9"], "no published table"),
    ):
        with pytest.raises(ManifestError, match=words):
            CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_pair_is_told_apart_even_with_commas_in_its_names(app: typer.Typer, tmp_path: Path, make_row: Any) -> None:
    run = tmp_path / "run"
    with RowWriter(run, "0000-0") as writer:
        for model in ("a", "b, late", "c"):
            for person in range(6):
                writer.add(make_row(model, f"p{person}", id_similarity=0.5 + person / 100 + len(model) / 100))
    done = CliRunner().invoke(app, ["report", str(run), "--no-clips", "--pair", "a,b, late", "--against", "c"])
    assert done.exit_code == 0, done.output
    text = (run / "report" / "comparisons.md").read_text(encoding="utf-8")
    assert all(f"{a} against {b}" in text for a, b in (("a", "b, late"), ("a", "c"), ("b, late", "c")))
    assert CliRunner().invoke(app, ["report", str(run), "--pair", "a,nobody"]).exception is not None
    assert CliRunner().invoke(app, ["report", str(run), "--pair", "a"]).exception is not None
