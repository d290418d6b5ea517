"""Trigger, identity word and mask, with every error case."""

from __future__ import annotations

import pytest
import torch

from mmbench.errors import RequestError
from mmbench.model.network.configs import size_named
from mmbench.model.pipeline.prompt import identity_mask, parse_prompt
from mmbench.model.small.nano import offline_tokenizer
from mmbench.trigger import without_trigger


def unigram(pieces):
    """A toy tokenizer in which unknown compounds fall into several pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((p, -1.0) for p in pieces)]
    core = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


TOKENIZER = unigram(["▁a", "▁young", "▁woman", "▁police", "woman", "▁smiles", "▁"])


class WithoutOffsets:
    """The same tokenizer with offsets refused, as a slow one."""

    is_fast = False

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": TOKENIZER(text, add_special_tokens=add_special_tokens)["input_ids"]}


@pytest.mark.parametrize("tokenizer", [TOKENIZER, WithoutOffsets()], ids=["offsets", "prefix"])
@pytest.mark.parametrize(
    ("prompt", "rows"),
    [
        ("a young woman img smiles", [2]),
        ("a policewoman img smiles", [1, 2]),
        ("woman img smiles", [0]),
    ],
)
def test_mask_of_one_piece_and_many_piece_words(tokenizer, prompt, rows):
    mask = identity_mask(tokenizer, parse_prompt(prompt), 8)
    assert mask.dtype == torch.bool
    assert mask.nonzero().flatten().tolist() == rows


@pytest.mark.parametrize(
    ("prompt", "text", "word"),
    [
        ("a young woman img is smiling", "a young woman is smiling", "woman"),
        ("Anime style, a male police officer img talking", "Anime style, a male police officer talking", "officer"),
        ("a grand-mother   img, smiling", "a grand-mother, smiling", "grand-mother"),
        ("a man rides", "a man rides", "man"),
        ("Two women watch a Boy", "Two women watch a Boy", "Boy"),
    ],
)
def test_trigger_is_removed_and_the_word_found(prompt, text, word):
    parsed = parse_prompt(prompt)
    assert (parsed.text, parsed.word) == (text, word)


def test_named_identity_word():
    assert parse_prompt("a robot and a man", identity_word="robot").start == 2
    assert parse_prompt("a robot img and a man", identity_word="Robot").word == "robot"


@pytest.mark.parametrize(
    ("prompt", "kwargs", "says"),
    [
        ("a cat on a mat", {}, "identity_word="),
        ("two women and many men", {}, "identity_word="),
        ("a man img and a woman img", {}, "one identity"),
        ("img of a man", {}, "No word stands before"),
        ("a man img", {"identity_word": "woman"}, "Give one of the two"),
        ("a man", {"identity_word": "robot"}, "robot"),
    ],
)
def test_errors_name_the_fix(prompt, kwargs, says):
    with pytest.raises(RequestError, match=says):
        parse_prompt(prompt, **kwargs)


def test_words_that_contain_the_trigger_are_not_triggers():
    assert parse_prompt("a man in swimgear").text == "a man in swimgear"
    assert without_trigger("a man img in swimgear") == "a man in swimgear"


@pytest.mark.parametrize("tokenizer", [TOKENIZER, WithoutOffsets()], ids=["offsets", "prefix"])
def test_word_beyond_the_last_token_is_an_error(tokenizer):
    parsed = parse_prompt("a young young young policewoman img smiles")
    assert identity_mask(tokenizer, parsed, 7).sum() == 2
    for length in (5, 6):  # cut before the word, and through it (the last place is the end token's)
        with pytest.raises(RequestError, match="beyond token"):
            identity_mask(tokenizer, parsed, length)


def test_offline_tokenizer_round_trip(tmp_path):
    tokenizer = offline_tokenizer(size_named("nano"))
    ids = tokenizer("A young woman, smiling.").input_ids
    assert tokenizer.unk_token_id not in ids
    assert ids[-1] == tokenizer.eos_token_id
    assert len(tokenizer("a zyx woman").input_ids) == 4
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again("a young woman").input_ids == tokenizer("a young woman").input_ids


@pytest.mark.parametrize("word", ["cowboy", "waiter", "guitarist"])
def test_people_by_what_they_do(word):
    assert parse_prompt(f"a {word} is talking").word == word


def test_the_small_models_vocabulary_does_not_grow_with_the_lexicon():
    """Their random weights are drawn for so many words: one more would change every frame."""
    from mmbench.model.small.nano import VOCABULARY

    assert len(set(VOCABULARY)) == 155
    assert "cowboy" not in VOCABULARY
