"""PhotoMaker's trigger: the class word before `img` is repeated, once per identity token, and marked by a mask.

Upstream adds `img` to the tokenizers, which then split it out of any word that contains it ("swimgear"). Here the
prompt is split at the whole word before it is tokenised, so the tokenizers stay as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmbench.errors import RequestError
from mmbench.trigger import TRIGGER, count_triggers, marked_word


class ClipTokenizer(Protocol):
    """What is used of a CLIP tokenizer."""

    bos_token_id: int
    eos_token_id: int
    pad_token_id: int
    model_max_length: int

    def encode(self, text: str, add_special_tokens: bool, verbose: bool) -> Sequence[int]: ...


@dataclass(frozen=True)
class TriggerIds:
    """Token ids of one text encoder, `mask` marks the repeated class token; `truncated` says the prompt was cut."""

    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    truncated: bool


def trigger_ids(tokenizer: ClipTokenizer, prompt: str, copies: int) -> TriggerIds:
    """Ids of `prompt` with the class word repeated `copies` times in place of "word img", cut and padded to length.

    `copies` = references x identity tokens. Raises RequestError unless the prompt has exactly one trigger, after a
    word, inside the tokens that are kept.
    """
    if (count := count_triggers(prompt)) != 1:
        raise RequestError(
            f"PhotoMaker needs the trigger word {TRIGGER!r} once, this prompt has it {count} times: {prompt!r}.",
            f'Write it after the class word, as in "a young woman {TRIGGER} smiles".',
        )
    marked = marked_word(prompt)
    halves = ("", "") if marked is None else (marked.text[: marked.end], marked.text[marked.end :])
    before, after = (list(tokenizer.encode(half, add_special_tokens=False, verbose=False)) for half in halves)
    length = tokenizer.model_max_length
    room = length - 2
    if not before or len(before) >= room:
        raise RequestError(
            f"The trigger word must follow a class word within the first {room} tokens: {prompt!r}.",
            "Shorten the prompt before the class word.",
        )
    # As upstream: the trigger takes one place when the text is cut, and its removal frees that place again.
    kept = after[: room - len(before) - 1]
    text = [tokenizer.bos_token_id, *before, *kept, tokenizer.eos_token_id]
    text += [tokenizer.pad_token_id] * (length - 1 - len(text))
    at = len(before)
    ids = [*text[:at], *[text[at]] * copies, *text[at + 1 :]]
    mask = [at <= index < at + copies for index in range(len(ids))]
    ids += [tokenizer.pad_token_id] * (length - len(ids))
    mask += [False] * (length - len(mask))
    if sum(mask[:length]) != copies:
        raise RequestError(f"{copies} identity tokens do not fit after {at} tokens of text.", "Shorten the prompt.")
    return TriggerIds(tuple(ids[:length]), tuple(mask[:length]), len(kept) < len(after))
