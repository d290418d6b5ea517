"""Loading, checking and showing a test set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mmbench.cli.testset import app
from mmbench.errors import ManifestError
from mmbench.testsets import GROUPS, load_testset
from mmbench.testsets.check import check_testset
from mmbench.testsets.sheet import contact_sheet


def test_load(tiny_testset: Path):
    testset = load_testset(tiny_testset)
    assert [identity.id for identity in testset.identities] == ["ann", "old_tom"]
    assert testset.identities[1].class_word == "man"
    assert testset.size == 4
    assert testset.identities[0].prompts[1].id == "own:1"
    assert all(path.is_file() for identity in testset.identities for path in identity.references)


def test_set_that_is_not_built_says_how(monkeypatch, tmp_path):
    monkeypatch.setenv("MMBENCH_TESTSETS", str(tmp_path))
    with pytest.raises(ManifestError, match="mmbench testset build pubfig50"):
        load_testset("pubfig50")
    with pytest.raises(ManifestError, match="no test set"):
        load_testset("nonsense")


def edit(folder: Path, change) -> None:
    document = json.loads((folder / "identities.json").read_text())
    change(document["identities"])
    (folder / "identities.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[0].update(group="robot"), "robot"),
        (lambda rows: rows[0].update(references=["references/gone.png"]), r"gone\.png"),
        (lambda rows: rows[0].update(references=[]), "no picture"),
        (lambda rows: rows[0].update(class_word="man"), "man img"),
        (lambda rows: rows[0].update(id="a/b"), "unknown|file name"),
        (lambda rows: rows[0].pop("group"), "group"),
        (lambda rows: rows.append(rows[0]), "share a name"),
        (lambda rows: rows.pop(), "unknown identities"),
    ],
)
def test_bad_identities_are_named(tiny_testset: Path, change, words):
    edit(tiny_testset, change)
    with pytest.raises(ManifestError, match=words):
        load_testset(tiny_testset)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ann,2,x,a woman waves,a woman img waves", "woman img"),
        ("ann,2,x,a woman img img waves and a woman img,a woman img waves", "once"),
        ("ann,two,x,a woman img,a woman img", "line 6"),
        ("ann,1,x,a woman img,a woman img", "one index"),
        ("bob,0,x,a man img,a man img", "bob"),
        ("ann,2,x,,a woman img", "line 6"),
    ],
)
def test_bad_prompts_are_named(tiny_testset: Path, line, words):
    with (tiny_testset / "prompts.csv").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(ManifestError, match=words):
        load_testset(tiny_testset)


def test_check_finds_damage_and_doubles(tiny_testset: Path):
    assert check_testset(tiny_testset)[1] == []
    assert len(check_testset(tiny_testset, lambda picture: picture.shape == (1, 1, 3))[1]) == 2
    pictures = sorted((tiny_testset / "references").iterdir())
    pictures[1].write_bytes(pictures[0].read_bytes())
    assert any("same picture" in problem for problem in check_testset(tiny_testset)[1])
    pictures[1].write_bytes(pictures[0].read_bytes()[:200])
    assert any("damaged" in problem or "not a picture" in problem for problem in check_testset(tiny_testset)[1])
    (tiny_testset / "references.csv").write_text(f"file,sha256\nreferences/{pictures[0].name},00\n")
    assert any("changed since" in problem for problem in check_testset(tiny_testset)[1])


def test_contact_sheet_shows_every_reference(tiny_testset: Path, tmp_path: Path):
    testset = load_testset(tiny_testset)
    sheet = contact_sheet(testset, side=64, columns=2)
    assert sheet.width > 2 * 4 * 64
    result = CliRunner().invoke(app, ["show", str(tiny_testset), "--out", str(tmp_path / "s.png"), "--prompts"])
    assert result.exit_code == 0, result.output
    assert "an elderly man img" not in result.output
    assert "a elderly man img waves" in result.output
    with Image.open(tmp_path / "s.png") as image:
        assert image.format == "PNG"


def test_cli_check(tiny_testset: Path):
    result = CliRunner().invoke(app, ["check", str(tiny_testset), "--no-faces"])
    assert result.exit_code == 0, result.output
    assert "1 woman, 1 elderly man" in result.output
    with (tiny_testset / "prompts.csv").open("a") as stream:
        stream.write("ann,2,x,a woman img waves,a woman img waves\n")
    result = CliRunner().invoke(app, ["check", str(tiny_testset), "--no-faces"])
    assert result.exit_code == 1
    assert "others have" in result.output


def test_noise_shows_no_face_to_dlib(tiny_testset: Path):
    result = CliRunner().invoke(app, ["check", str(tiny_testset)])
    assert result.exit_code == 1
    assert result.output.count("no face is found") == 2


def test_cli_build_needs_sources(tmp_path: Path, vbench_prompts: Path):
    arguments = ["build", "pubfig50", "--out", str(tmp_path / "set"), "--prompts", str(vbench_prompts)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ManifestError)
    assert "non-commercial" in result.output


def test_bundled_set_is_whole():
    from collections import Counter

    from mmbench.testsets.load import find_testset

    if not (find_testset("synthetic50") / "prompts.csv").is_file():
        pytest.skip("synthetic50 is not built in this checkout")
    testset, problems = check_testset("synthetic50")
    assert problems == []
    assert testset.size == 200
    sizes = Counter(identity.group for identity in testset.identities)
    assert [sizes[group] for group in GROUPS] == [8, 8, 7, 7, 7, 7, 6]
