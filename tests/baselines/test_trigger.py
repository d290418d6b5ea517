"""PhotoMaker's class-word tokens, against a plain reading of what upstream does with an added token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.baselines.loading.tiny_tokenizers import write_clip
from mmbench.baselines.photomaker_v2.trigger import trigger_ids
from mmbench.errors import RequestError
from mmbench.trigger import without_trigger


class Words:
    """One id a word; 0 pads, 1 begins, 2 ends."""

    bos_token_id, eos_token_id, pad_token_id, model_max_length = 1, 2, 0, 12

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def encode(self, text: str, add_special_tokens: bool, verbose: bool) -> Sequence[int]:
        assert not add_special_tokens
        return [self.ids.setdefault(word, 10 + len(self.ids)) for word in text.split()]


def upstream(tokenizer: Words, prompt: str, copies: int) -> tuple[list[int], list[bool]]:
    """Upstream's steps: the trigger is a token of its own, found, removed, the one before it repeated."""
    trigger, length = -1, tokenizer.model_max_length
    words = [trigger if w == "img" else tokenizer.encode(w, False, False)[0] for w in prompt.split()]
    ids = [tokenizer.bos_token_id, *words[: length - 2], tokenizer.eos_token_id]
    ids += [tokenizer.pad_token_id] * (length - len(ids))
    at = ids.index(trigger) - 1
    ids = [token for token in ids if token != trigger]
    ids = [*ids[:at], *[ids[at]] * copies, *ids[at + 1 :]][:length]
    ids += [tokenizer.pad_token_id] * (length - len(ids))
    return ids, [at <= index < at + copies for index in range(length)]


@given(
    before=st.lists(st.sampled_from("abcd"), min_size=1, max_size=6),
    after=st.lists(st.sampled_from("efgh"), max_size=12),
    copies=st.integers(1, 4),
)
def test_ids_are_upstreams(before: list[str], after: list[str], copies: int) -> None:
    prompt = " ".join([*before, "img", *after])
    tokenizer = Words()
    found = trigger_ids(tokenizer, prompt, copies)
    ids, mask = upstream(tokenizer, prompt, copies)
    assert list(found.ids) == ids
    assert list(found.mask) == mask
    assert len(found.ids) == tokenizer.model_max_length
    assert found.truncated == (len(before) + 1 + len(after) > tokenizer.model_max_length - 2)


def test_the_trigger_inside_a_word_is_left_alone(tmp_path: Path) -> None:
    """An added token would split "swimgear" into s-w, trigger, e-a-r."""
    from transformers import CLIPTokenizer

    write_clip(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    found = trigger_ids(tokenizer, "a swimgear man img swims", 2)
    plain = tokenizer.encode("a swimgear man", add_special_tokens=False)
    assert list(found.ids[1 : len(plain) + 1]) == plain
    assert found.ids[len(plain)] == found.ids[len(plain) + 1]
    assert sum(found.mask) == 2
    assert without_trigger("a swimgear man img, in a swimming pool") == "a swimgear man, in a swimming pool"


@pytest.mark.parametrize(
    "prompt",
    [
        "a man smiles",
        "a man img and a woman img",
        "img smiles",
        "one two three four five six seven eight nine ten eleven img",
    ],
)
def test_a_prompt_without_one_usable_trigger_is_refused(prompt: str) -> None:
    with pytest.raises(RequestError):
        trigger_ids(Words(), prompt, 2)


def test_too_many_references_for_the_room_are_refused() -> None:
    with pytest.raises(RequestError, match="do not fit"):
        trigger_ids(Words(), "one two three four five six seven eight man img", 8)
