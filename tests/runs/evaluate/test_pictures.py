"""Pictures in memory and strings stand wherever paths do, for the same numbers; they outlive the call in the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmbench
from mmbench.config import EvaluateSettings
from mmbench.errors import BusyFolder, MediaError
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.video.image import read_image

FACES = EvaluateSettings(metrics=("id_similarity", "fm_ref"), face={"frames": "sampled"})
FLOW = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})


def values(result: EvaluateResult) -> list[dict[str, float | None]]:
    return [{score.metric: score.value for score in row.scores} for row in result.rows]


@pytest.fixture(scope="module")
def truth() -> Item:
    items = mmbench.read_manifest(str(mmbench.load_testset("synthetic50").folder / "manifest.csv"))
    return next(item for item in items if item.model == "truth")


def test_a_picture_in_memory_gives_the_numbers_of_its_file(
    tmp_path: Path, truth: Item, nearly: Callable[[object, object], bool]
) -> None:
    path = truth.references[0]
    truth = replace(truth, condition=path)
    pictures = tuple(Image.fromarray(read_image(reference)) for reference in truth.references)
    by_path = evaluate([truth], str(tmp_path / "paths"), FACES)
    by_string = evaluate([replace(truth, references=tuple(map(str, truth.references)))], tmp_path / "strings", FACES)
    in_memory = evaluate([replace(truth, references=pictures, condition=pictures[0])], tmp_path / "pictures", FACES)
    assert (
        by_path.complete and nearly(values(by_path), values(by_string)) and nearly(values(by_path), values(in_memory))
    )
    item = in_memory.rows[0].item
    assert all(
        np.array_equal(read_image(a), read_image(b)) for a, b in zip(item.references, truth.references, strict=True)
    )
    assert item.condition == item.references[0], "one picture is one file"
    again = evaluate([replace(truth, references=pictures, condition=pictures[0])], tmp_path / "pictures", FACES)
    assert again.measured_now == 0
    assert mmbench.build_report(str(tmp_path / "pictures"), str(tmp_path / "page")).page.is_file()

    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(truth.video, videos)
    (shown,) = mmbench.read_folder(str(videos), Image.open(path))
    assert shown.identity == "reference"
    (row,) = evaluate([shown], tmp_path / "folder", FACES).rows
    (same,) = evaluate([*mmbench.read_folder(videos, path)], tmp_path / "folder-by-path", FACES).rows
    first, second = (found.score("id_similarity") for found in (row, same))
    assert first is not None and second is not None and nearly(first.value, second.value)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK"])
def test_a_picture_of_any_mode_is_written_as_its_file_would_be_read(tmp_path: Path, truth: Item, mode: str) -> None:
    rng = np.random.default_rng(3)
    grey = Image.fromarray(rng.integers(0, 255, (40, 30), dtype=np.uint8))
    picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 256) if mode == "I;16" else grey.convert(mode)
    name = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture.save(name)
    (row,) = evaluate([replace(truth, references=(), condition=picture)], tmp_path / "run", FLOW).rows
    assert row.item.condition is not None
    assert np.array_equal(read_image(row.item.condition), read_image(name))


def test_an_endless_picture_is_refused(tmp_path: Path, truth: Item) -> None:
    with pytest.raises(MediaError, match="16384"):
        evaluate([replace(truth, references=Image.new("1", (20_000, 1)))], tmp_path / "run", FLOW)


def test_two_evaluations_of_one_folder_do_not_mix(tmp_path: Path, truth: Item) -> None:
    found: list[Exception] = []

    def second(done: int, total: int, what: str) -> None:
        if not found:
            try:
                evaluate([replace(truth, prompt="another")], tmp_path / "run", FLOW)
            except BusyFolder as error:
                found.append(error)

    assert evaluate([truth], tmp_path / "run", FLOW, progress=second).complete
    assert "another evaluation, of other clips or settings" in str(found[0])
