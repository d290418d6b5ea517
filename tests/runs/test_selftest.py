from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.errors import ManifestError, MMBenchError
from mmbench.metrics.registry import OFFICIAL, facts_by_name
from mmbench.runs import selftest as own
from mmbench.runs.selftest import COMMITTED, SelfTest, selftest, write
from mmbench.scores import Provenance, Score


@pytest.fixture(scope="module")
def measured() -> SelfTest:
    return selftest()


def test_this_machine_gives_the_committed_numbers(measured: SelfTest) -> None:
    wrong = [check for check in measured.checks if check.state in ("differs", "error")]
    assert not wrong and measured.sound
    states = {(check.clip, check.column): check.state for check in measured.checks}
    for column in ("id_similarity", "copy_angle", "fm_inter_affine_free", "motion_amplitude", "share_yaw_front"):
        assert states["truth", column] == "ok"
    assert sum(state == "ok" for state in states.values()) > 80
    assert {"dlib", "opencv", "python"} <= set(measured.versions)


def test_columns_without_weights_say_how_to_get_them(measured: SelfTest) -> None:
    missing = {check.column: check.text for check in measured.checks if check.state == "missing"}
    for column in set(OFFICIAL) - {"motion_amplitude"} | {"inception_score"}:
        assert "mmbench weights get" in missing[column]


def test_every_committed_number_is_a_columns() -> None:
    numbers = json.loads(COMMITTED.read_text(encoding="utf-8"))["numbers"]
    assert {column for of_clip in numbers.values() for column in of_clip} <= set(facts_by_name())


def test_a_changed_number_is_found(measured: SelfTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "mine.json"
    write(measured, kept)
    document = json.loads(kept.read_text(encoding="utf-8"))
    document["numbers"]["truth"]["id_similarity"][0] -= 0.01
    document["numbers"]["truth"]["face_rate"][1] = "another detector"
    del document["numbers"]["vanish"]
    kept.write_text(json.dumps(document), encoding="utf-8")
    provenance = Provenance("dlib")
    found = [
        (check.clip, Score.ok(check.column, check.value, Provenance(check.text) if check.text else provenance))
        for check in measured.checks
        if check.value is not None
    ]
    monkeypatch.setattr(own, "_measured", lambda device, progress: found)
    again = selftest(against=kept)
    states = {(check.clip, check.column): check.state for check in again.checks}
    assert states["truth", "id_similarity"] == "differs" and not again.sound
    assert states["truth", "face_rate"] == "new", "another network's number is not compared"
    assert states["vanish", "face_rate"] == "new"
    assert states["copy-paste", "face_rate"] == "ok"


def test_the_golden_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_measured", lambda device, progress: [])
    clip, picture = tmp_path / "singleface_3.mp4", tmp_path / "11.jpg"
    clip.write_bytes(b"another clip")
    with pytest.raises(MMBenchError, match="not OpenS2V's demonstration clip"):
        selftest(golden=(clip, picture))
    near = [Score.ok(name, value - 3e-4, Provenance("insightface")) for name, value in own.GOLDEN.items()]
    monkeypatch.setattr(own, "_golden", lambda device, pair: [("golden", score) for score in near])
    assert {check.state for check in selftest(golden=(clip, picture)).checks} == {"ok"}
    near[0] = Score.ok(near[0].metric, 0.93, Provenance("insightface"))
    assert not selftest(golden=(clip, picture)).sound


def test_the_command(measured: SelfTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "selftest", lambda *given: measured)
    done = CliRunner().invoke(app, ["selftest", "--write", str(tmp_path / "mine.json")])
    assert done.exit_code == 0 and "Device cpu; dlib" in done.output
    assert done.output.count("mmbench weights get aesthetic") == 1, "one line a reason"
    assert (tmp_path / "mine.json").is_file()
    damaged = SelfTest((own.Check("differs", "id_rank1", "truth", 0.0, 1.0, 0.002, "dlib"),), {}, "cpu")
    monkeypatch.setattr(own, "selftest", lambda *given: damaged)
    assert CliRunner().invoke(app, ["selftest"]).exit_code == 1
    assert CliRunner().invoke(app, ["selftest", "--golden-clip", "a.mp4"]).exit_code != 0


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ManifestError, match="no numbers of a self-test"):
        selftest(against=tmp_path / "a.json")
