"""Rows as data frames: every number comes back, by every format; texts are texts and no formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import RequestError
from mmbench.items import Item
from mmbench.reports.table.frame import clips_csv, clips_frame, scores_frame, write_frame
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.scores import Score

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def test_a_line_a_clip_and_a_line_a_number(make_row: Callable[..., ItemRow]) -> None:
    gone = Score.missing("fm_ref", "no face", "Look.")
    rows = [make_row("b", "anna", id_similarity=0.5, fm_ref=gone), make_row("a", "bob", seed=None, fm_ref=0.25)]
    clips = clips_frame(rows)
    assert list(clips["model"]) == ["a", "b"]
    assert np.isnan(clips["id_similarity"][0]) and clips["id_similarity"][1] == 0.5
    assert clips["fm_ref"][0] == 0.25 and np.isnan(clips["fm_ref"][1])
    assert clips["seed"].isna().tolist() == [True, False]
    numbers = scores_frame(rows)
    assert len(numbers) == 3
    (why,) = numbers[numbers["status"] == "missing"].to_dict("records")
    assert (why["metric"], why["reason"], why["remedy"]) == ("fm_ref", "no face", "Look.")


@given(st.lists(st.tuples(TEXT, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_csv_keeps_every_text_and_number(held: list[tuple[str, float]]) -> None:
    rows = [
        ItemRow(Item(str(k), "m", f"p{k}", Path("v.mp4"), prompt=text, seed=k), (Score.ok("x", value),))
        for k, (text, value) in enumerate(held)
    ]
    back = list(csv.DictReader(io.StringIO(clips_csv(rows), newline="")))
    assert [float(line["x"]) for line in back] == [value for _, value in held]
    for line, (text, _) in zip(back, held, strict=True):
        assert line["prompt"] in (text, f"'{text}")
        assert line["prompt"][:1] not in tuple("=+-@\t\r")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_files(make_row: Callable[..., ItemRow], tmp_path: Path, suffix: str) -> None:
    rows = [make_row("m", f"p{k}", id_similarity=k / 7) for k in range(5)]
    path = write_frame(clips_frame(rows), tmp_path / f"rows{suffix}")
    read = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".jsonl": lambda file: pd.read_json(file, lines=True),
    }[suffix]
    assert list(read(path)["id_similarity"]) == pytest.approx([k / 7 for k in range(5)], abs=1e-9)
    with pytest.raises(RequestError, match="not written"):
        write_frame(clips_frame(rows), tmp_path / "rows.xls")


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    row = ItemRow(Item(name, name, name, Path(f"{name}.mp4")), (Score.missing("x", name),))
    assert clips_frame([row])["id"][0] == scores_frame([row])["reason"][0] == "caf\\udce9"
    write_frame(clips_frame([row]), tmp_path / "rows.parquet")
    assert "caf" in clips_csv([row])


def test_nothing_is_a_frame_too() -> None:
    assert len(clips_frame([])) == len(scores_frame([])) == 0
