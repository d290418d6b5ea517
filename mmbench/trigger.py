"""The trigger word ("img" in "a young woman img smiles"): where it stands, the word it marks, the text without it."""

from __future__ import annotations

import re
from dataclasses import dataclass

TRIGGER = "img"
"""Marks the word before it as the one that names the person. Test sets have it, models without a use for it do not."""

_WORD = r"\w+(?:['\u2019-]\w+)*"
_BETWEEN = r"[\s,\"'\u201d\u2019\u00bb)]"
"""What may stand between the word and the trigger: blanks, a comma, closing quotation marks."""


@dataclass(frozen=True)
class Marked:
    """A prompt without its trigger; the word before it is `text[start:end]`."""

    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word that names the person."""
        return self.text[self.start : self.end]


def count_triggers(prompt: str, trigger: str = TRIGGER) -> int:
    """How often the trigger stands in the prompt as a word of its own ("swimgear", "img-free": not once)."""
    return len(_places(prompt, trigger))


def without_trigger(prompt: str, trigger: str = TRIGGER) -> str:
    """The prompt without its triggers and the blanks or comma that only they needed; else as it was.

    "a man img, waves" -> "a man, waves"; "img, a man" -> "a man". An empty trigger removes nothing.
    """
    while places := _places(prompt, trigger):
        prompt = _cut(prompt, *places[0])
    return prompt


def marked_word(prompt: str, trigger: str = TRIGGER) -> Marked | None:
    """The word before the only trigger; None without a trigger, with two, or where no word stands before it.

    Closing quotation marks and a comma may stand between: '"a man" img', "a man, img".
    """
    places = _places(prompt, trigger)
    if len(places) != 1:
        return None
    start, end = places[0]
    found = re.search(rf"(?<!\w)({_WORD}){_BETWEEN}+\Z", prompt[:start])
    if found is None:
        return None
    return Marked(_cut(prompt, start, end), found.start(1), found.end(1))


def marks(prompt: str, words: str, trigger: str = TRIGGER) -> bool:
    """Whether the only trigger stands after `words`, of which there may be several ("elderly woman")."""
    found = marked_word(prompt, trigger)
    if found is None or not words:
        return False
    before = found.text[: found.end]
    return before.endswith(words) and re.search(rf"(?<!\w){re.escape(words)}\Z", before) is not None


def word_end(prompt: str, word: str) -> int | None:
    """Where the first `word` of the prompt ends, as a word of its own in any case; None where it has none."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE) if word else None
    return found.end() if found else None


def _places(prompt: str, trigger: str) -> list[tuple[int, int]]:
    if not trigger:
        return []
    return [found.span() for found in re.finditer(rf"(?<![\w-]){re.escape(trigger)}(?![\w-])", prompt)]


def _cut(prompt: str, start: int, end: int) -> str:
    before, after = prompt[:start].rstrip(), prompt[end:]
    if not before:
        return after.lstrip(" \t\r\n,")
    rest = after.lstrip()
    if before.endswith(",") and (not rest or rest[0] in ",.;:!?"):
        before = before[:-1]  # of "a man, img, waves" one comma stays
    return before + (after if rest else "")
