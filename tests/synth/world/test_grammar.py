"""The captions of the nano world: what is written can be read, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.errors import RequestError
from mmbench.synth.identity import GROUPS
from mmbench.synth.world.grammar import ACTIONS, COLOURS, POSING, WORDS, Caption, parse_caption

captions = st.builds(
    Caption,
    st.sampled_from(GROUPS),
    st.sampled_from([POSING, *ACTIONS]),
    st.sampled_from(list(COLOURS)),
    st.sampled_from(list(COLOURS)),
)


@given(captions)
def test_what_is_written_is_read_back(caption: Caption) -> None:
    assert parse_caption(caption.text) == caption
    assert parse_caption(f"  {caption.text.upper()}. ") == caption
    assert set(caption.text.split()) <= set(WORDS)


@given(captions, st.integers(0, 12), st.sampled_from(["purple", "dog", ""]))
def test_another_word_is_refused(caption: Caption, place: int, word: str) -> None:
    words = caption.text.split()
    words[min(place, len(words) - 1)] = word
    with pytest.raises(RequestError, match="no caption of the nano world"):
        parse_caption(" ".join(words))
