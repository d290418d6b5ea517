"""Texts of users and files on a terminal: no markup, no control characters, and no advice given twice."""

from __future__ import annotations

import re
import unicodedata

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of a line: a name could make another text of what follows it."""


def plain(text: object) -> str:
    """The text in one line, without control characters (escape sequences begin with one); bytes of no text as �."""
    return "".join(map(_shown, str(text)))


def safe(text: object) -> str:
    """As `plain`, with nothing left that rich would take for markup."""
    from rich.markup import escape

    shown = plain(text)
    body = shown.rstrip("\\")
    if body == shown:
        return escape(shown)
    return escape(body) + "\\" * 2 * (len(shown) - len(body)) + "[none][/none]"  # what follows must not be escaped


class Once:
    """Says every sentence once: what was said before is left out."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, text: str) -> str:
        """The sentences of `text` that are new."""
        fresh = [sentence for sentence in SENTENCE.split(text.strip()) if sentence and sentence not in self._said]
        self._said |= set(fresh)
        return " ".join(fresh)


def _shown(sign: str) -> str:
    kind = unicodedata.category(sign)
    if sign in TURNING or kind == "Cc":
        return " " if sign.isspace() else ""
    return "\ufffd" if kind == "Cs" else sign
