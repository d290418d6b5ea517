"""Texts of this project set commands between backticks, as Markdown does; every format has its own way to show them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

SPAN = re.compile(r"`([^`\n]+)`")


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """(piece, whether it is code) in order, without the backticks; a backtick without a partner stays text."""
    for index, piece in enumerate(SPAN.split(text)):
        if piece:
            yield piece, index % 2 == 1


def rendered(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """`text` with every piece put through `plain` or `code`, which do their format's escaping."""
    return "".join(code(piece) if is_code else plain(piece) for piece, is_code in pieces(text))


def html(text: str) -> Markup:
    """HTML with `<code>` elements; everything of the text is escaped."""
    from markupsafe import Markup, escape

    return Markup(rendered(text, lambda piece: str(escape(piece)), lambda piece: f"<code>{escape(piece)}</code>"))
