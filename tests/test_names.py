"""The same name is the same name, whichever system wrote it; no name breaks what prints it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.names import PathFinder, begins, few, key, readable, shown

LETTERS = st.characters(exclude_categories=["Cs"])
BYTES = st.builds(lambda data: data.decode("utf-8", "surrogateescape"), st.binary(max_size=12))


@given(st.text(LETTERS))
def test_both_forms_of_accents_are_one_name(name: str) -> None:
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    assert readable(forms[0]) == readable(forms[1])
    assert key(forms[0]) == key(forms[1])


@given(st.text() | BYTES)
def test_every_name_can_be_printed(name: str) -> None:
    readable(name).encode()
    assert readable(readable(name)) == readable(name)
    assert shown(readable(name)).isprintable()


def test_names_end_where_a_separator_stands_in_any_script() -> None:
    assert begins("anna_0", "anna") and begins("anna", "anna") and begins("李-1", "李")
    assert not begins("annabel", "anna") and not begins("李明_0", "李") and not begins("रामा_0", "राम")


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("clips/Café.mp4", unicodedata.normalize("NFD", "clips/Café.mp4")),
        (unicodedata.normalize("NFD", "clips/Café.mp4"), "clips/Café.mp4"),
        ("clips/anna.mp4", "Clips\\Anna.MP4"),
        ("clips/a b .mp4", "clips/a b .mp4"),
        ("clips/back\\slash.mp4", "clips/back\\slash.mp4"),
    ],
)
def test_a_file_is_found_as_another_system_writes_it(tmp_path: Path, there: str, written: str) -> None:
    file = tmp_path / there
    file.parent.mkdir(parents=True)
    file.touch()
    assert PathFinder(tmp_path).find(written).samefile(file)


def test_a_file_is_not_guessed_among_several(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "A.mp4").touch()
    if len(list(tmp_path.iterdir())) == 2:
        assert PathFinder(tmp_path).find("a.MP4") == tmp_path / "a.MP4"
    assert PathFinder(tmp_path).find("none/x.mp4") == tmp_path / "none/x.mp4"
    assert PathFinder(tmp_path).find("a\0b") == tmp_path / "a\0b"


def test_few_names_and_how_many_more() -> None:
    assert few("abc") == "a, b, c"
    assert few("abcdefg", 2) == "a, b and 5 more"
