"""The list of generators, as data and as printed."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from mmbench.baselines.catalogue import catalogue
from mmbench.baselines.registry import BASELINES
from mmbench.cli.generators import generators


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(generators)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_model_is_listed_with_its_weights_and_licence() -> None:
    rows = {row.name: row for row in catalogue()}
    assert set(BASELINES) <= set(rows)
    assert rows["photomaker_v2"].kind == "first frame"
    assert 20e9 < rows["cogvideox_i2v"].weight_bytes < 25e9
    text = run()
    for row in rows.values():
        assert row.name in text
        assert row.licence in text


def test_both_conventions_are_printed() -> None:
    text = run("--parameters")
    assert "id_animator: 1.52 B by the paper's convention, 2.21 B in all" in text
    assert "consisid: 11.14 B by the paper's convention, 11.50 B in all" in text
    assert "magic_mirror: 12.81 B by the paper's convention, 12.81 B in all" in text
