"""The trigger word is put after the word that names the person, and taking it out gives the text back."""

from __future__ import annotations

import random

import pytest

from mmbench.errors import ManifestError
from mmbench.testsets.imported.words import PEOPLE, ROLES, mark_person
from mmbench.trigger import count_triggers, marks, without_trigger

NOUNS = (PEOPLE + ROLES).split()
BEFORE = (
    "",
    "The video features a young ",
    "In it, an old ",
    "Caf\u00e9 at dusk\u2014the ",
    "A swimgear-clad ",
    "\u201cThe ",
)
AFTER = (
    " walks.",
    ", whose hat is red, waves",
    "\u201d says: \u2018no\u2019",
    "\n\nThe camera follows.",
    "",
    " \u4eba\u7269 dances",
)


@pytest.mark.parametrize("seed", range(40))
def test_any_text_around_any_noun_comes_back_to_the_letter(seed):
    rng = random.Random(seed)
    noun = rng.choice(NOUNS)
    noun = rng.choice((noun, noun.capitalize(), noun.upper()))
    text = rng.choice(BEFORE) + noun + rng.choice(AFTER)
    marked, word = mark_person(f" {text}\n", "here")
    assert word == noun
    assert marks(marked, word) and count_triggers(marked) == 1
    assert without_trigger(marked) == text.strip()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The teacher wrote while a boy listened", "teacher"),
        ("The man's dog barks at a woman", "woman"),
        ("A man-made lake; a girl swims", "girl"),
        ("Woman", "Woman"),
        ("The tightrope artiste, in a red suit, bows", "artiste"),
        ("Rain falls as she runs", "she"),
        ("We see Ada L'Estrange Lovelace, in the rain", "Lovelace"),
        ("A chef img cooks for a man", "chef"),
        ("a man cooks for a chef img", "chef"),
    ],
)
def test_which_word(text, word):
    assert mark_person(text, "here")[1] == word


@pytest.mark.parametrize(
    "text", ["", " \n", "Rain falls.", "a man img and a woman img", "img", "The video in the rain"]
)
def test_a_text_without_a_person_is_refused_by_its_place(text):
    with pytest.raises(ManifestError, match=r"prompts\.csv, line 3") as caught:
        mark_person(text, "prompts.csv, line 3")
    assert caught.value.remedy
