"""Texts on a terminal: nothing of a name becomes markup or a control sequence, no advice comes twice."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from mmbench.cli.words import Once, plain, safe


@given(st.text(st.characters() | st.sampled_from("[]/\\\x1b"), max_size=30))
def test_any_text_is_printed_as_it_is_and_nothing_more(text: str) -> None:
    shown = plain(text)
    assert Text.from_markup(f"[bold]{safe(text)}[/bold]").plain == shown
    assert Text.from_markup(safe(text)).plain == shown
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in shown)
    shown.encode()


def test_names_keep_their_letters() -> None:
    assert (
        plain("run [v2] /x caf\u00e9 \u5f20\u4f1f \u0646\u200c\u06cc")
        == "run [v2] /x caf\u00e9 \u5f20\u4f1f \u0646\u200c\u06cc"
    )
    assert plain("a\x1b[31mb\nc\u202ed\udce9") == "a\\x1b[31mb c\\u202ed\\udce9"


def test_every_sentence_is_said_once() -> None:
    once = Once()
    assert (
        once("Get them: mmbench weights get a.b. Then use `--retry`.")
        == "Get them: mmbench weights get a.b. Then use `--retry`."
    )
    assert once("Look at the clip. Then use `--retry`.") == "Look at the clip."
    assert once("Look at the clip.") == ""
