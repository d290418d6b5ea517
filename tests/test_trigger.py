"""One definition of the trigger word: found, removed, and the word before it, whatever the prompt."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.trigger import TRIGGER, count_triggers, marked_word, marks, without_trigger

PIECES = ["img", "img", "a", "man", "swimgear", "img-free", "imgs", "IMG", ",", ".", '"', "'", "(", ")", "-", "\u00e9"]
PROMPTS = st.lists(st.sampled_from([*PIECES, " ", " ", "\n"]), max_size=14).map("".join) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("prompt", "text", "word"),
    [
        ("a man img, waves", "a man, waves", "man"),
        ("a man img waves", "a man waves", "man"),
        ("a man img", "a man", "man"),
        ("a man img.", "a man.", "man"),
        ("a man   img, waves", "a man, waves", "man"),
        ("a man\nimg\nwaves", "a man\nwaves", "man"),
        ("a man, img waves", "a man, waves", "man"),
        ("a man, img, waves", "a man, waves", "man"),
        ("a man, img", "a man", "man"),
        ("a man, img.", "a man.", "man"),
        ('"a man" img waves', '"a man" waves', "man"),
        ("'a man' img waves", "'a man' waves", "man"),
        ("\u201ca man\u201d img waves", "\u201ca man\u201d waves", "man"),
        ("a (tall man) img waves", "a (tall man) waves", "man"),
        ("a grand-mother img smiles", "a grand-mother smiles", "grand-mother"),
        ("the men's barber img smiles", "the men's barber smiles", "barber"),
        ("a swimgear man img, in a pool", "a swimgear man, in a pool", "man"),
        ("\u00e9tudiante img", "\u00e9tudiante", "\u00e9tudiante"),
        ("img, a woman", "a woman", None),
        ("img", "", None),
        ("a man. img waves", "a man. waves", None),
        ("a man img and a woman img", "a man and a woman", None),
        ("a man waves", "a man waves", None),
        ("imgs of a timg, img-free", "imgs of a timg, img-free", None),
        ("a man IMG waves", "a man IMG waves", None),
        ("", "", None),
    ],
)
def test_what_is_removed_and_what_is_marked(prompt: str, text: str, word: str | None) -> None:
    assert without_trigger(prompt) == text
    found = marked_word(prompt)
    assert (found and found.word) == word
    if found:
        assert found.text == text


@given(prompt=PROMPTS)
def test_no_trigger_is_left_and_nothing_else_goes(prompt: str) -> None:
    text = without_trigger(prompt)
    assert count_triggers(text) == 0
    assert without_trigger(text) == text
    if not count_triggers(prompt):
        assert text == prompt
    words = re.findall(r"[\w-]+", prompt)
    assert re.findall(r"[\w-]+", text) == [word for word in words if word != TRIGGER]


@given(prompt=PROMPTS)
def test_the_marked_word_is_in_the_text_without_the_trigger(prompt: str) -> None:
    found = marked_word(prompt)
    if found is not None:
        assert count_triggers(prompt) == 1
        assert found.text == without_trigger(prompt)
        assert re.fullmatch(r"\w+(['\u2019-]\w+)*", found.word)
        assert marks(prompt, found.word)
        assert prompt[: found.end] == found.text[: found.end]


@given(before=st.sampled_from(["a man", "two tall men", "X"]), after=st.sampled_from(["", " waves", ", waves", "."]))
def test_a_marked_prompt_loses_its_mark(before: str, after: str) -> None:
    assert without_trigger(f"{before} {TRIGGER}{after}") == before + after


@given(prompt=PROMPTS)
def test_an_empty_trigger_is_nowhere(prompt: str) -> None:
    assert without_trigger(prompt, "") == prompt
    assert count_triggers(prompt, "") == 0 and marked_word(prompt, "") is None


@given(trigger=st.text("b.*+($", min_size=1, max_size=3))
def test_any_trigger_is_taken_literally(trigger: str) -> None:
    assert without_trigger(f"a man {trigger} waves", trigger) == "a man waves"


@pytest.mark.parametrize(
    ("prompt", "words", "expected"),
    [
        ("An elderly woman img smiles", "elderly woman", True),
        ("An elderly woman img smiles", "woman", True),
        ("An elderly woman img smiles", "man", False),
        ("A man img and a man img", "man", False),
        ("A man smiles", "man", False),
        ("A man img smiles", "", False),
    ],
)
def test_several_words_may_be_marked(prompt: str, words: str, expected: bool) -> None:
    assert marks(prompt, words) is expected
