"""`mmbench study new`: the text that raters agree to is read before anything is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.cli.study import MOST_CONSENT, _agreed_text
from mmbench.errors import RequestError


def test_a_text_is_taken_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "consent.txt"
    path.write_bytes("\ufeffIch stimme zu: \U0001f600\n".encode())
    assert _agreed_text(path) == "Ich stimme zu: \U0001f600"


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00bad", "no UTF-8"),
        (b" \n", "is empty"),
        (b"a" * (MOST_CONSENT + 1), "more than"),
        ("a folder", "cannot be read"),
    ],
)
def test_what_is_no_text_to_agree_to_is_refused_with_its_name(held: object, why: str, tmp_path: Path) -> None:
    path = tmp_path / "consent.txt"
    if isinstance(held, bytes):
        path.write_bytes(held)
    elif held:
        path.mkdir()
    with pytest.raises(RequestError, match=why) as found:
        _agreed_text(path)
    assert str(path) in str(found.value)
    assert found.value.remedy
