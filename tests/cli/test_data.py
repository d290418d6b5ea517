"""`mmbench data`: a build on drawn people, its check, and what was dropped."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.data.drawn_corpus import drawn_settings, person, save


def test_build_check_and_show(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "good.png", person(1))
    save(tmp_path / "pictures" / "tiny.png", person(2, side=100))
    settings, out = tmp_path / "data.yaml", str(tmp_path / "out")
    settings.write_text(drawn_settings("A", Path("pictures")).to_yaml())
    run = CliRunner().invoke
    built = run(app, ["data", "build", str(settings), "--out", out])
    assert built.exit_code == 0, built.output
    assert "faces: 1 of 2 kept" in built.output
    assert "face_side 1" in built.output
    checked = run(app, ["data", "check", out])
    assert checked.exit_code == 0
    assert "1 records" in checked.output
    shown = run(app, ["data", "show", out, "--out", str(tmp_path / "dropped.png")])
    assert shown.exit_code == 0
    assert "5 M addresses" in shown.output
    assert (tmp_path / "dropped.png").is_file()
    next((tmp_path / "out" / "A" / "images").glob("*.tar")).unlink()
    assert run(app, ["data", "check", out]).exit_code == 1
