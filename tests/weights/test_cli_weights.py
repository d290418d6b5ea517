"""The `mmbench weights` commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmbench.cli.weights import app
from mmbench.errors import MissingWeights
from mmbench.files import sha256_file
from mmbench.weights.cache import cached_file
from mmbench.weights.registry import find

ZIP = b"PK\x05\x06" + bytes(18)
"""A zip archive without members."""

run = CliRunner().invoke


def test_list_shows_licence_limits_and_trust():
    text = run(app, ["list", "--all"]).output
    assert "non-commercial research only" in text
    assert "unknown: recorded on first download" in text
    assert "starts with 22a6c225" in text


def test_the_list_fits_a_screen():
    lines = run(app, ["list"]).output.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    shown = {line.split()[0] for line in lines}
    assert {"dynamic_degree", "insightface", "cogvideox", "viclip-safetensors"} <= shown
    assert "0 of 2 here" in next(line for line in lines if line.startswith("insightface"))
    assert "weights list NAME" in lines[-1]


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
    server.files["/retinaface_resnet50_2020-07-20-f168fae3c.zip"] = served(ZIP)
    result = run(app, ["get", "retinaface-resnet50-zip", "--yes"])
    assert result.exit_code == 0, result.output
    assert cached_file(find("retinaface-resnet50-zip")).read_bytes() == ZIP


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


def test_own_file_is_listed_as_such_with_its_own_digest(tmp_path: Path):
    own = tmp_path / "own.pth"
    own.write_bytes(b"x")
    run(app, ["path", "raft-things", "--use", str(own)])
    text = run(app, ["list", "raft-things"]).output
    assert f"your own file, not the registered one; its sha256: {sha256_file(own)}" in text
    assert f"registered sha256: {find('raft-things').sha256}" in text
    (row,) = json.loads(run(app, ["list", "raft-things", "--json"]).output)
    assert (row["own_sha256"], row["path"]) == (sha256_file(own), str(own))
    assert f"own    raft-things: {sha256_file(own)} (your own file {own}" in run(app, ["check", "raft-things"]).output


def test_own_file_that_is_gone_stops_no_command(tmp_path: Path, server, served, monkeypatch):
    own = tmp_path / "own.pth"
    own.write_bytes(b"x")
    run(app, ["path", "raft-things", "--use", str(own)])
    own.unlink()
    listed = run(app, ["list", "metrics"])
    assert listed.exit_code == 0
    assert f"raft-things  [21.1 MB]  Own file missing: {own}" in listed.output
    assert "viclip  [1.71 GB]  not here" in listed.output
    checked = run(app, ["check", "raft-things", "viclip"])
    assert "WRONG  raft-things: Own file missing" in checked.output
    assert "1 wrong, 1 not here" in checked.output
    monkeypatch.setenv("MMBENCH_MIRROR", server.url)
    server.files["/retinaface_resnet50_2020-07-20-f168fae3c.zip"] = served(ZIP)
    got = run(app, ["get", "raft-things", "retinaface-resnet50-zip", "--yes"])
    assert got.exit_code == 1
    assert "mmbench weights path raft-things --forget" in got.output
    assert cached_file(find("retinaface-resnet50-zip")).read_bytes() == ZIP
    assert run(app, ["get", "raft-things"]).exit_code == 1


def test_archive_that_cannot_be_unpacked_stops_no_list():
    archive = cached_file(find("retinaface-resnet50-zip"))
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"no zip")
    text = run(app, ["list", "metrics"]).output
    assert f"retinaface-resnet50  [about 110 MB]  {archive} is damaged" in text
    assert "viclip  [1.71 GB]  not here" in text


def test_use_and_forget_exclude_each_other(tmp_path: Path):
    assert run(app, ["path", "viclip", "--use", str(tmp_path / "a"), "--forget"]).exit_code == 2


@pytest.mark.parametrize("name", ["nonsense", "raft"])
def test_unknown_name_is_a_user_error(name):
    result = run(app, ["get", name])
    assert result.exit_code == 1
    assert "mmbench weights list" in str(result.exception)
