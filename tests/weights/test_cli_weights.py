"""The `mmbench weights` commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmbench.cli.weights import app
from mmbench.errors import MissingWeights
from mmbench.weights.cache import cached_file
from mmbench.weights.registry import find

run = CliRunner().invoke


def test_list_shows_licence_limits_and_trust():
    text = run(app, ["list"]).output
    assert "non-commercial research only" in text
    assert "unknown: recorded on first download" in text
    assert "starts with 22a6c225" in text


def test_list_json_and_filters():
    rows = json.loads(run(app, ["list", "insightface", "--missing", "--json"]).output)
    assert [row["name"] for row in rows] == ["buffalo-l-det-10g", "buffalo-l-w600k-r50"]


def test_get_shows_limits_and_needs_consent(server, monkeypatch):
    monkeypatch.setenv("MMBENCH_MIRROR", server.url)
    result = run(app, ["get", "viclip"])
    assert result.exit_code == 2
    assert "limits: trained on InternVid, which is CC BY-NC-SA 4.0" in result.output
    assert "1 file, about 1.71 GB in all" in result.output
    assert "--yes" in result.output
    assert server.requests == []


def test_get_downloads_from_a_mirror(server, served, monkeypatch):
    monkeypatch.setenv("MMBENCH_MIRROR", server.url)
    server.files["/retinaface_resnet50_2020-07-20-f168fae3c.zip"] = served(b"zip")
    result = run(app, ["get", "retinaface-resnet50-zip", "--yes"])
    assert result.exit_code == 0, result.output
    assert cached_file(find("retinaface-resnet50-zip")).read_bytes() == b"zip"


def test_check_finds_a_wrong_file():
    file = cached_file(find("raft-things"))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"0" * 21108000)
    result = run(app, ["check", "raft-things", "viclip"])
    assert result.exit_code == 1
    assert "WRONG  raft-things" in result.output
    assert "1 wrong, 1 not here" in result.output


def test_path_and_own_file(tmp_path: Path):
    own = tmp_path / "own.pth"
    own.write_bytes(b"x")
    assert isinstance(run(app, ["path", "viclip"]).exception, MissingWeights)
    assert run(app, ["path", "viclip", "--use", str(own)]).output.strip() == str(own)
    assert run(app, ["path", "viclip"]).output.strip() == str(own)
    assert run(app, ["path", "viclip", "--forget"]).exit_code == 0
    assert isinstance(run(app, ["path", "viclip"]).exception, MissingWeights)


@pytest.mark.parametrize("name", ["nonsense", "raft"])
def test_unknown_name_is_a_user_error(name):
    result = run(app, ["get", name])
    assert result.exit_code == 1
    assert "mmbench weights list" in str(result.exception)
