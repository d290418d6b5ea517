"""The row store: round trips, torn lines, attempts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.runs.evaluate import store
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError, SetRow
from mmbench.runs.evaluate.store import RowWriter, next_attempt, read_rows
from mmbench.scores import Provenance, Score

PROMPT = 'a "quoted", <b>prompt</b>\nline'
ITEM = Item("m/a_0", "m", "a", Path("/v/a_0.mp4"), (Path("/r/a.png"),), prompt=PROMPT, seed=7)


def row(item: Item = ITEM, value: float = 0.5) -> ItemRow:
    provenance = Provenance("dlib", {"model.dat": "ab" * 32}, {"dlib-bin": "20"})
    scores = (Score.ok("id_similarity", value, provenance, curve=[0.1, None]), Score.missing("fm_ref", "no face"))
    return ItemRow(item, scores, MeasuredFile(49, 720, 480, 8.0, "container", "cd" * 32, ("cadence",)), seconds=1.5)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    failed = ItemRow(Item("m/b", "m", "b", Path("b.mp4")), error=RowError("MediaError", "b.mp4: empty.", "Again."))
    sets = SetRow("m", 2, (Score.ok("inception_score", 7.5),))
    with RowWriter(tmp_path, "0000-0") as writer:
        for one in (row(), failed, sets):
            writer.add(one)
    assert read_rows(tmp_path) == ([row(), failed], [sets])


def test_a_torn_last_line_is_not_a_row(tmp_path: Path) -> None:
    with RowWriter(tmp_path, "0000-0") as writer:
        writer.add(row())
    whole = writer.path.read_bytes()
    for cut in range(len(whole)):
        writer.path.write_bytes(whole + whole[:cut])
        assert read_rows(tmp_path)[0] == [row()]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with RowWriter(tmp_path, "0000-0") as writer:
        writer.add(row())
    writer.path.write_bytes(b'{"kind": \n' + writer.path.read_bytes())
    with pytest.raises(ManifestError, match="line 1 is damaged"):
        read_rows(tmp_path)


def test_the_newest_attempt_wins_whatever_the_worker(tmp_path: Path) -> None:
    for name, value in (("0000-1", 0.1), ("0010-0", 0.3), ("0009-2", 0.2)):
        with RowWriter(tmp_path, name) as writer:
            writer.add(row(value=value))
    rows, _ = read_rows(tmp_path)
    assert [r.scores[0].value for r in rows] == [0.3]
    assert next_attempt(tmp_path) == 11


def test_a_file_is_never_written_twice(tmp_path: Path) -> None:
    with RowWriter(tmp_path, "0000-0") as writer:
        writer.add(row())
    with pytest.raises(FileExistsError):
        RowWriter(tmp_path, "0000-0")


def test_a_writer_without_rows_leaves_no_file(tmp_path: Path) -> None:
    with RowWriter(tmp_path, "0000-0") as writer:
        pass
    assert not writer.path.exists()
    assert next_attempt(tmp_path) == 0


def test_nan_never_reaches_the_disk() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Score.ok("id_similarity", float("nan"))


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a run"):
        read_rows(tmp_path)
    with pytest.raises(ManifestError, match="no such folder"):
        read_rows(tmp_path / "nowhere")


def test_the_folder_of_a_whole_run_names_the_one_with_the_rows(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "evaluation", "0000-0") as writer:
        writer.add(row())
    with pytest.raises(ManifestError) as error:
        read_rows(tmp_path)
    assert str(tmp_path / "evaluation") in error.value.remedy


_TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too: names that are no UTF-8
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_WITHIN = st.integers(-(2**63), 2**63)


@settings(max_examples=200, deadline=None)
@given(
    values=st.dictionaries(_TEXTS, st.floats(allow_nan=False, allow_infinity=False) | _TEXTS | _WITHIN, max_size=4),
    seed=st.integers(-(2**80), 2**80),
)
def test_lines_are_read_as_json_reads_them(values: dict[str, Any], seed: int) -> None:
    line = json.dumps({"kind": "item", "item": {"seed": seed}, "values": values}, ensure_ascii=False)
    text = line.encode(errors="backslashreplace") + b"\n"
    assert store._loaded(text) == json.loads(text)
    assert repr(store._loaded(text)) == repr(json.loads(text))


@settings(max_examples=200, deadline=None)
@given(value=_VALUES, cut=st.integers(0, 40), byte=st.integers(0, 255))
def test_damage_is_refused_where_json_refuses_it(value: Any, cut: int, byte: int) -> None:
    text = bytearray(json.dumps({"kind": "item", "value": value}).encode())
    text[min(cut, len(text) - 1)] = byte
    try:
        json.loads(bytes(text))
    except ValueError:
        with pytest.raises(ValueError):
            store._loaded(bytes(text))
    else:
        store._loaded(bytes(text))
