"""From a prompt to its tokens and to the mask of the identity word (paper section 3.2; README, "Text").

The trigger ("a young woman img smiles") is removed from the string before tokenising, so no vocabulary
entry is added and the text encoder never sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import RequestError
from mmbench.trigger import TRIGGER, count_triggers, marked_word

_PEOPLE = (
    "man woman boy girl baby person lady gentleman guy male female child kid toddler infant teenager adult "
    "officer policeman policewoman fireman firefighter soldier actor actress singer dancer musician chef "
    "doctor nurse teacher student scientist artist painter athlete king queen prince princess bride groom "
    "mother father mom dad son daughter brother sister grandmother grandfather "
)
_MORE_PEOPLE = (
    "cowboy cowgirl waiter waitress guitarist pianist violinist drummer farmer fisherman hiker climber surfer skater "
    "cyclist swimmer golfer pilot sailor astronaut engineer mechanic carpenter gardener barista butcher lawyer "
    "journalist photographer reporter businessman businesswoman magician monk nun priest witch wizard samurai clown "
    "husband wife uncle aunt grandma grandpa "
)
SMALL_IDENTITY_WORDS = tuple(_PEOPLE.split())
"""Those of `IDENTITY_WORDS` that the small models' vocabulary has: their weights depend on how many there are."""
IDENTITY_WORDS = (*SMALL_IDENTITY_WORDS, *_MORE_PEOPLE.split())
"""Words that may carry the identity when a prompt has no trigger; singular only, the first in the prompt wins."""


@dataclass(frozen=True)
class IdentityPrompt:
    """A prompt without its trigger, and the character span of the word that carries the identity."""

    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The identity word."""
        return self.text[self.start : self.end]


def parse_prompt(prompt: str, trigger: str = TRIGGER, identity_word: str | None = None) -> IdentityPrompt:
    """Find the identity word: the word before the trigger, else `identity_word`, else the first of the lexicon.

    Raises RequestError for no identity word, for two triggers (the model has one identity), for a trigger
    without a word before it, and for an `identity_word` that contradicts the trigger or is not in the
    prompt.
    """
    if (count := count_triggers(prompt, trigger)) > 1:
        raise RequestError(
            f"The prompt has the trigger word '{trigger}' {count} times: {prompt!r}.",
            "Magic Mirror has one identity per video: keep the trigger after one word only.",
        )
    if count:
        marked = marked_word(prompt, trigger)
        if marked is None:
            raise RequestError(
                f"No word stands before the trigger '{trigger}' in {prompt!r}.",
                f"Write it right after the word for the person, as in 'a man {trigger} is smiling'.",
            )
        if identity_word is not None and marked.word.lower() != identity_word.lower():
            raise RequestError(
                f"identity_word={identity_word!r}, but the trigger '{trigger}' stands after {marked.word!r}.",
                "Give one of the two.",
            )
        return IdentityPrompt(marked.text, marked.start, marked.end)
    words = IDENTITY_WORDS if identity_word is None else (identity_word,)
    found = re.search(rf"\b(?:{'|'.join(re.escape(w) for w in words)})\b", prompt, re.IGNORECASE)
    if found is None:
        missing = "a known word for a person" if identity_word is None else f"the identity word {identity_word!r}"
        raise RequestError(
            f"The prompt does not have {missing}: {prompt!r}.",
            f"Put '{trigger or TRIGGER}' after the word that names the person, or pass identity_word='...'.",
        )
    return IdentityPrompt(prompt, found.start(), found.end())


def identity_mask(tokenizer: Any, prompt: IdentityPrompt, max_length: int) -> Tensor:
    """Which of the `max_length` tokens belong to the identity word: bool [max_length].

    `tokenizer` is any transformers tokenizer; without offsets the ids of the prefix and of prefix + word are
    compared. Raises RequestError where the word, or a part of it, lies beyond the last token.
    """
    whole = _word_positions(tokenizer, prompt)
    # The last place is the end token's when the text is cut.
    room = max_length - 1
    if not whole or whole[-1] >= room:
        raise RequestError(
            f"The identity word {prompt.word!r} lies beyond token {max_length} of the prompt.",
            "Move it towards the beginning, or shorten the text before it.",
        )
    mask = torch.zeros(max_length, dtype=torch.bool)
    mask[whole] = True
    return mask


def _word_positions(tokenizer: Any, prompt: IdentityPrompt) -> list[int]:
    """Token positions of the identity word in the uncut prompt."""
    if tokenizer.is_fast:
        offsets = tokenizer(prompt.text, return_offsets_mapping=True)["offset_mapping"]
        return [i for i, (a, b) in enumerate(offsets) if a < prompt.end and b > prompt.start and b > a]
    before, with_word = (
        len(tokenizer(text, add_special_tokens=False)["input_ids"])
        for text in (prompt.text[: prompt.start].rstrip(), prompt.text[: prompt.end])
    )
    return list(range(before, with_word))
