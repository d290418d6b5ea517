"""Tables come back as they were written, whoever wrote them; what cannot be read is named with its line."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.tables import SEPARATORS, rate, read_table, whole_number, write_table

COLUMNS = ("model", "video", "prompt", "seed")
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = st.sampled_from(
    ["a, b", "a;b", 'say "hi"', "one\ntwo", "one\r\ntwo", "a\rb", "\u2028x", "\x85y", "\x1cz", " x ", "=1+1", "\0"]
)
ROWS = st.lists(st.tuples(st.just("m"), ANY | ODD, ANY | ODD, ANY), min_size=1, max_size=5)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def cells(path: Path) -> list[tuple[str, ...]]:
    return [tuple(line.cells[name] for name in COLUMNS) for line in read_table(path, COLUMNS).lines]


@QUICK
@given(rows=ROWS)
def test_what_pandas_writes_comes_back(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    # csv before Python 3.13 does not quote a lone "\r": behind the last cell, before "\n", nobody can tell whose it is
    assume(not any(row[-1].endswith("\r") for row in rows))
    path = tmp_path / "t.csv"
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    assert cells(path) == rows
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path)  # with the counter of its lines
    assert cells(path) == rows
    assert read_table(path, COLUMNS).notes == ()


@QUICK
@given(rows=ROWS, separator=st.sampled_from(SEPARATORS), bom=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_table_programs_write_comes_back(
    tmp_path: Path, rows: list[tuple[str, ...]], separator: str, bom: str
) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", encoding=bom, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator="\r\n")
        writer.writerows([COLUMNS, *rows])
    assert cells(path) == rows


@QUICK
@given(rows=ROWS)
def test_what_we_write_comes_back_to_us_and_to_pandas(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    path = tmp_path / "t.csv"
    write_table(path, COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    assert cells(path) == rows
    if not any("\0" in cell or "\r" in cell for row in rows for cell in row):  # pandas' own reader changes these
        read = pd.read_csv(path, dtype=str, keep_default_na=False, engine="python")
        assert [tuple(row) for row in read.itertuples(index=False)] == rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_hand_made_tables_with_blanks_behind_commas(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    lines = ["Model, Video,prompt , seed", 'm, a.mp4, "waves, and smiles", 1', "", "m, b.mp4, waves, 2", ",,,"]
    path.write_bytes(end.join(lines).encode())
    table = read_table(path, COLUMNS)
    assert [line.number for line in table.lines] == [2, 4]
    assert [line.cells["prompt"] for line in table.lines] == ["waves, and smiles", "waves"]
    assert table.lines[0].name("video") == "a.mp4"


def test_the_line_that_tells_excel_its_separator(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nmodel;video;prompt;seed\nm;a.mp4;one, two;4\n")
    table = read_table(path, COLUMNS)
    assert table.decimal_comma
    assert (table.lines[0].number, table.lines[0].cells["prompt"]) == (3, "one, two")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,prompt\nm,A man waves, then smiles\n", "line 2: 3 cells, 2 columns; ' then smiles'"),
        ("model,prompt\nm,waves\n\nm,waves,\n", "line 4: 3 cells"),
        ('model,prompt\nm,"two\nlines"\nm,"never closed\nm,x\n', "line 4: a quote is opened here and never closed"),
        ('model,prompt\nm,"a" b\n', "line 2: no table's line"),
        ("model,prompt\nm," + "x" * 131_073 + "\n", "line 2: a cell holds more than 131,072 characters"),
        ("model,prompt,Model\nm,x,y\n", "two columns are called 'model'"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ManifestError) as error:
        read_table(path, ("model", "prompt"))
    assert said in error.value.message


def test_columns_without_a_name_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,,prompt,\nm,hello,waves,\n")
    table = read_table(path, ("model", "prompt"))
    assert table.columns == ("model", "prompt")
    assert table.notes == ("t.csv: column 2 has no name and was passed over",)


def test_bytes_that_are_no_utf_8_come_back(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"model,video\nm,caf\xe9.mp4\n")
    assert read_table(path, COLUMNS).lines[0].cells["video"].encode("utf-8", "surrogateescape") == b"caf\xe9.mp4"


@pytest.mark.parametrize("path", ["none.csv", ".", "a\0b"])
def test_no_file_is_said(tmp_path: Path, path: str) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(tmp_path / path, COLUMNS)


@given(st.integers(-(10**19), 10**19))
def test_whole_numbers_as_every_program_writes_them(number: int) -> None:
    assert whole_number(str(number)) == whole_number(f"{number}.0") == whole_number(f"{number}.") == number
    assert whole_number(f"{number},0", decimal_comma=True) == number


@pytest.mark.parametrize(
    "text", ["42.5", "1e+18", "1.5E3", "nan", "inf", "1,000", "1_000", "٤٢", "9" * 30, "0x1f", "4 2"]
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is '"):
        whole_number(text)


@pytest.mark.parametrize(
    ("text", "value"), [("25", 25.0), ("29.97", 29.97), ("30000/1001", 30000 / 1001), ("24 / 1", 24.0), ("8.0", 8.0)]
)
def test_rates(text: str, value: float) -> None:
    assert math.isclose(rate(text), value, rel_tol=1e-15)
    assert math.isclose(rate(text.replace(".", ","), decimal_comma=True), value, rel_tol=1e-15)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-8", "1/0", "0/5", "fast", "1e309", "12,5", "99999"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is '"):
        rate(text)
