"""A folder without a server, files of votes from strangers, votes handed out, votes deleted."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.errors import ManifestError
from mmbench.studies.user_study.design import read_design
from mmbench.studies.user_study.handing import delete_rater, delete_study, export_votes
from mmbench.studies.user_study.make import NewStudy, new_study
from mmbench.studies.user_study.plan import PlanOptions
from mmbench.studies.user_study.static import export_static, import_votes
from mmbench.studies.user_study.votes import open_votes
from tests.studies.user_study.conftest import Crowd, MadeRun, preferring

SMALL = PlanOptions(sheets=3, tasks=4, repeats=1, checks=1, seed=3)
STRENGTHS = {"Alpha": 1.0, "beta": 0.0, "Gamma": -1.0}


@pytest.fixture
def study(tmp_path: Path, make_run: MadeRun) -> Path:
    run = make_run(tmp_path / "run", people=2, prompts=1)
    return new_study([run], tmp_path / "study", NewStudy(kind="pairs", plan=SMALL)).folder


def said(folder: Path, **changes: Any) -> dict[str, Any]:
    votes = [{"slot": slot, "revision": 1, "answers": {"overall": "left"}, "seconds": 2.5} for slot in range(3)]
    held = {"format": 1, "study": read_design(folder).id, "rater": "ab" * 16, "sheet": 1, "votes": votes}
    return held | changes


def test_the_folder_holds_the_page_and_no_key(study: Path, tmp_path: Path) -> None:
    page = export_static(study, tmp_path / "page")
    files = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*") if path.is_file()}
    design = read_design(study)
    assert files == {"index.html", "study.js", "study.css", "design.js"} | {f"media/{name}" for name in design.media}
    everything = b"".join((page.parent / name).read_bytes() for name in files)
    assert not any(word in everything for word in (b"Alpha", b"Gamma", b"person-", str(tmp_path).encode()))
    with pytest.raises(ManifestError, match="in use"):
        export_static(study, tmp_path / "page")


def test_twice_is_once_and_a_later_file_goes_on(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "votes.json"
    path.write_text(json.dumps(said(study)))
    assert import_votes(study, [path]).new == 3
    assert import_votes(study, [path, tmp_path]).new == 0
    later = said(study)
    later["votes"][0] |= {"revision": 2, "answers": {"overall": "tie"}}
    later["votes"].append({"slot": 3, "revision": 1, "answers": {}, "seconds": 0})
    path.write_text(json.dumps(later))
    assert import_votes(study, [path]).new == 2
    (one,) = open_votes(study, read_design(study)).everything()
    assert [vote.answers.get("overall") for vote in one.votes] == ["tie", "left", "left", None]


@pytest.mark.parametrize(
    "changes",
    [
        {"study": "another"},
        {"sheet": 99},
        {"sheet": -1},
        {"rater": "../../etc/passwd"},
        {"rater": "AB" * 16},
        {"format": 2},
        {"more": 1},
        {"votes": [{"slot": 99, "revision": 1, "answers": {"overall": "left"}, "seconds": 1}]},
        {"votes": [{"slot": 0, "revision": 1, "answers": {"overall": "up"}, "seconds": 1}]},
        {"votes": [{"slot": 0, "revision": 1, "answers": {"overall": 3}, "seconds": 1}]},
        {"votes": [{"slot": 0, "revision": 0, "answers": {"overall": "left"}, "seconds": 1}]},
        {"votes": [{"slot": 0, "revision": 1, "answers": {"overall": "left"}, "seconds": -1}]},
        {"votes": [{"slot": 0, "revision": 1, "answers": {"overall": "left"}, "seconds": 1}] * 2},
    ],
)
def test_bad_files_are_refused_whole_and_good_ones_beside_them_taken(
    study: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = tmp_path / "got"
    folder.mkdir()
    (folder / "bad.json").write_text(json.dumps(said(study, **changes)))
    (folder / "good.json").write_text(json.dumps(said(study, rater="cd" * 16)))
    found = import_votes(study, [folder])
    assert (found.raters, found.new, len(found.refused)) == (1, 3, 1)
    assert "bad.json" in found.refused[0]


def test_what_is_no_json_or_too_large_is_refused(study: Path, tmp_path: Path) -> None:
    for number, text in enumerate((b"", b"\xff\x00", b"[" * 100_000, b'{"format": NaN}', b" " * (2**20 + 1))):
        path = tmp_path / f"bad-{number}.json"
        path.write_bytes(text)
        assert len(import_votes(study, [path]).refused) == 1
    with pytest.raises(ManifestError, match="no such file"):
        import_votes(study, [tmp_path / "nothing.json"])


def test_a_rater_keeps_their_sheet(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "votes.json"
    path.write_text(json.dumps(said(study)))
    import_votes(study, [path])
    path.write_text(json.dumps(said(study, sheet=2)))
    assert "another sheet" in import_votes(study, [path]).refused[0]


def test_votes_are_handed_out_with_models_and_without_names(study: Path, tmp_path: Path) -> None:
    Crowd(3, preferring(STRENGTHS), careless=1).vote(study)
    count = export_votes(study, tmp_path / "votes.csv")
    with (tmp_path / "votes.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == count == 3 * 6
    assert {line["kind"] for line in lines} == {"task", "repeat", "check"}
    assert {line["counts"] for line in lines if line["rater"] == "1"} == {"0"}
    assert all({line["left_model"], line["right_model"]} < set(STRENGTHS) for line in lines)
    assert set(lines[0]) == {
        *("rater", "day", "sheet", "place", "kind", "question", "answer", "seconds", "counts"),
        *("left_model", "left_item", "right_model", "right_item"),
    }


def test_a_rater_and_then_the_study_are_deleted(study: Path) -> None:
    Crowd(2, preferring(STRENGTHS)).vote(study)
    delete_rater(study, 1)
    with pytest.raises(ManifestError, match="no rater 1"):
        delete_rater(study, 1)
    assert [one.rater for one in open_votes(study, read_design(study)).everything()] == [2]
    (study / "notes.txt").write_text("mine")
    delete_study(study)
    assert [path.name for path in study.iterdir()] == ["notes.txt"]
    with pytest.raises(ManifestError, match="no such file"):
        delete_study(study)


def test_the_commands(tmp_path: Path, make_run: MadeRun) -> None:
    run, study = make_run(tmp_path / "run", people=2, prompts=1), tmp_path / "study"

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, ["study", *map(str, words)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    made = call("new", run, "--out", study, "--kind", "pairs", "--sheets", 3, "--tasks", 4, "--repeats", 1)
    assert "3 sheets of 7" in made
    assert "raters: 0" in call("status", study)
    Crowd(3, preferring(STRENGTHS)).vote(study)
    assert "votes: 21" in call("status", study)
    shown = call("report", study)
    assert "Bradley-Terry" in shown and "Krippendorff" in shown and (study / "report" / "report.md").is_file()
    assert "21 answers" in call("export", study, tmp_path / "votes.csv")
    assert "index.html" in call("export", study, tmp_path / "page", "--static")
    (tmp_path / "votes.json").write_text(json.dumps(said(study)))
    assert "3 new votes of 1 raters" in call("import", study, tmp_path / "votes.json")
    assert "gone" in call("delete", study, "--rater", 1)
    assert "gone" in call("delete", study, "--everything") and not study.exists()


def test_what_cannot_be_opened_is_refused_and_its_neighbours_taken(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "got"
    (folder / "folder.json").mkdir(parents=True)
    (folder / "nowhere.json").symlink_to(folder / "gone")
    (folder / "round.json").symlink_to(folder / "round.json")
    os.mkfifo(folder / "pipe.json")
    (folder / "votes.json").write_text(json.dumps(said(study)))
    found = import_votes(study, [folder])
    assert (found.raters, found.new, len(found.refused)) == (1, 3, 4)
    assert len(import_votes(study, [folder / "pipe.json"]).refused) == 1


def test_a_report_folder_that_leads_elsewhere_is_left_alone(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.md").write_text("mine")
    (study / "report").symlink_to(other)
    delete_study(study)
    assert (other / "report.md").read_text() == "mine"
    assert [path.name for path in study.iterdir()] == ["report"]
