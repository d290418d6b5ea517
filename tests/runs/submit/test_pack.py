"""A submission says what its run said, and nothing of the machine that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.errors import ManifestError
from mmbench.files import sha256_file
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.submit.format import files_of, read_card, read_packed_rows
from mmbench.runs.submit.pack import pack
from tests.runs.submit.board import METRICS, Made


def test_rows_are_the_runs_own(made: Made, tmp_path: Path) -> None:
    sent = made.pack(tmp_path / "sent")
    rows, sets = read_rows(made.run)
    packed = list(read_packed_rows(sent / "rows.jsonl"))
    assert [one for one in packed if isinstance(one, SetRow)] == sets
    for row, one in zip(rows, packed, strict=False):
        assert isinstance(one, ItemRow)
        assert one.scores == row.scores
        assert (one.item.model, one.item.identity, one.item.prompt) == (
            row.item.model,
            row.item.identity,
            row.item.prompt,
        )
        assert one.clip == row.clip


def test_no_path_of_this_machine_is_told(made: Made, tmp_path: Path) -> None:
    sent = made.pack(tmp_path / "sent")
    for name in ("rows.jsonl", "submission.json"):
        text = (sent / name).read_text(encoding="utf-8")
        assert str(made.folder) not in text
        assert str(Path.home()) not in text


def test_the_card_names_every_file(made: Made, tmp_path: Path) -> None:
    sent = made.pack(tmp_path / "sent")
    card = read_card(sent)
    assert card.models == ("ours", "theirs")
    assert card.settings.metrics == METRICS
    assert {name: sha256_file(path) for name, path in files_of(sent)} == {
        name: file.sha256 for name, file in card.files.items()
    }
    clips = [name for name in card.files if name.endswith(".mp4")]
    assert len(clips) == 2 * made.rules.clips
    assert len(card.files) == len(clips) + 2  # the rows, and the one picture with which all of a model's videos began


def test_packing_twice_gives_the_same(made: Made, tmp_path: Path) -> None:
    one, two = (made.pack(tmp_path / name / "sent") for name in "ab")
    assert (one / "submission.json").read_bytes() == (two / "submission.json").read_bytes()


def test_what_cannot_be_packed(made: Made, tmp_path: Path) -> None:
    made.pack(tmp_path / "sent")
    with pytest.raises(ManifestError, match="is there already"):
        made.pack(tmp_path / "sent")
    with pytest.raises(ManifestError, match="no rows of nobody"):
        made.pack(tmp_path / "other", ["nobody"])
    with pytest.raises(ManifestError, match="not a run"):
        pack(tmp_path, tmp_path / "other", made.rules.testset)
    for given in ({"link": "http://x"}, {"about": "x" * 501}, {"about": "a\nb"}):
        with pytest.raises(ManifestError, match=r"link|about"):
            pack(made.run, tmp_path / "other", made.rules.testset, **given)  # type: ignore[arg-type]
    for name in ("Capital", "under_score", "-dash", "x" * 41):
        with pytest.raises(ManifestError, match="name"):
            made.pack(tmp_path / name)
        assert not (tmp_path / name).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["sent"]  # no half of anything


def test_a_clip_that_is_gone_or_changed(made: Made, tmp_path: Path) -> None:
    video = made.items[0].video
    kept = video.read_bytes()
    others = [item.video for item in made.items if item.model == "ours"]
    try:
        for path in others:
            path.rename(path.with_suffix(".away"))
        with pytest.raises(ManifestError, match="is not here"):
            made.pack(tmp_path / "sent")
        for path in others:
            path.write_bytes(kept[:-1])
        with pytest.raises(ManifestError, match="another one than was measured"):
            made.pack(tmp_path / "sent")
    finally:
        for path in others:
            path.with_suffix(".away").rename(path)
    assert not (tmp_path / "sent").exists()
