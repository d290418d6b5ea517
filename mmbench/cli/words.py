"""Texts of users and files on a terminal: no markup, no working control characters, no advice twice."""

from __future__ import annotations

import re

from mmbench.names import shown

BACKSLASHES = re.compile(r"(\\+)(?=\[|$)")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")


def plain(text: object) -> str:
    """The text in one line, as `mmbench.names.shown` has it: controls are written out and do nothing."""
    return shown(" ".join(str(text).split("\n")))


def safe(text: object) -> str:
    """As `plain`, with nothing left that rich would take for markup."""
    from rich.markup import escape

    parts = BACKSLASHES.split(plain(text))
    for number in range(1, len(parts), 2):  # versions of rich differ in what a backslash before a bracket does
        parts[number] = parts[number] * 2 + "[none][/none]"
    parts[::2] = map(escape, parts[::2])
    return "".join(parts)


class Once:
    """Says every sentence once: what was said before is left out."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, text: str) -> str:
        """The sentences of `text` that are new."""
        fresh = [sentence for sentence in SENTENCE.split(text.strip()) if sentence and sentence not in self._said]
        self._said |= set(fresh)
        return " ".join(fresh)
