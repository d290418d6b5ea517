"""Validation while training: clips of the present weights, rows that carry the step, a curve of them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.model.train.drawn import drawn_settings, make_world
from mmbench.model.train.settings import TrainSettings
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.store import read_rows
from mmbench.scores import Score
from mmbench.studies.training import Validation, curve, train_and_validate


def settings(train: str = "adapter") -> TrainSettings:
    """Four steps with a validation after every second."""
    stage = {"name": "clips", "data": [{"shards": ["clips"]}], "steps": 4, "batch": 1}
    validation = {"every": 2, "limit": 1, "steps": 2, "metrics": ["dynamic_degree"], "random_weights": True}
    return drawn_settings(model={"train": train}, stages=[stage], machine={"micro_batch": 1}, validation=validation)


def test_rows_carry_the_step(tmp_path: Path) -> None:
    make_world(tmp_path, people=2)
    train_and_validate(settings(), tmp_path, tmp_path / "out")
    folder = tmp_path / "out" / "validation"
    assert len(list(folder.glob("step-*/*.mp4"))) == 2
    rows = read_rows(folder / "evaluation")[0]
    assert sorted((row.item.step, row.item.model) for row in rows) == [(2, "clips@2"), (4, "clips@4")]
    assert all(row.error is None for row in rows)
    lines = list(csv.DictReader((folder / "curve.csv").open()))
    assert {line["step"] for line in lines if line["metric"] == "dynamic_degree"} == {"2", "4"}


@pytest.mark.parametrize("train", ["all", "norm-only"])
def test_a_base_is_validated_without_anybody_s_picture(tmp_path: Path, train: str) -> None:
    make_world(tmp_path, people=2)
    train_and_validate(settings(train), tmp_path, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "validation" / "evaluation")[0]
    assert [row.error for row in rows] == [None, None]


def test_curve_of_hand_rows() -> None:
    def row(step: int | None, value: float | None) -> ItemRow:
        item = Item(f"m@{step}/{value}", "m", "anna", Path("x.mp4"), step=step)
        score = Score.ok("id", value) if value is not None else Score.missing("id", "no face")
        return ItemRow(item, (score,))

    points = curve([row(2, 0.1), row(2, 0.3), row(4, 0.5), row(4, None), row(None, 0.9)])
    assert [(p.metric, p.step, round(p.mean, 9), p.count) for p in points] == [("id", 2, 0.2, 2), ("id", 4, 0.5, 1)]


def test_clips_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    make_world(tmp_path, people=2)
    chosen = settings()
    clips = Validation(chosen, tmp_path, tmp_path / "clips")
    clips.check()
    clips.check()
    for changes in ({"steps": 3}, {"guidance_scale": 2.0}, {"limit": 2}):
        other = chosen.model_copy(update={"validation": chosen.validation.model_copy(update=changes)})
        with pytest.raises(ManifestError, match="made with other settings"):
            Validation(other, tmp_path, tmp_path / "clips").check()
    (tmp_path / "old" / "step-00000002").mkdir(parents=True)
    (tmp_path / "old" / "step-00000002" / "a.mp4").write_bytes(b"")
    with pytest.raises(ManifestError, match="nothing says how"):
        Validation(chosen, tmp_path, tmp_path / "old").check()
