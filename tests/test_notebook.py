"""The notebook runs from its first cell to its last, and what it shows is of no one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "reports" / "first_look.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    for cell in cells():
        if cell["cell_type"] == "code":
            lines = [line for line in cell["source"] if not line.startswith("%")]  # what only notebooks know
            exec(compile("".join(lines), NOTEBOOK.name, "exec"), names)
    margins = names["frame"].groupby("model")["id_margin"].min()
    assert margins["truth"] > margins["stranger"]
    assert names["paths"].page.is_file()
    (row,) = (row for row in names["result"].rows if row.item == names["items"][0])
    assert names["found"]["face_rate"].value == row.score("face_rate").value  # from memory, and from the file


def test_what_it_shows_is_of_no_machine() -> None:
    shown = json.dumps([cell.get("outputs", []) for cell in cells()])
    assert '"image/png"' in shown  # its figure
    assert "stderr" not in shown
    assert "Traceback" not in shown
    for place in ("/home/", "/root/", "/tmp/", "/usr/", "C:\\\\"):
        assert place not in shown
    assert all(cell["outputs"] for cell in cells() if cell["cell_type"] == "code")
