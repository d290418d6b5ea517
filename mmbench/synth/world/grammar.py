"""The captions of the nano world: a closed grammar of groups, actions, shirts and walls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mmbench.errors import RequestError
from mmbench.synth.identity import GROUPS, Group, Rgb
from mmbench.synth.motion import Motion
from mmbench.trigger import TRIGGER

ACTIONS: Final[dict[str, Motion]] = {
    "nodding": "nod",
    "shaking": "shake",
    "turning": "turn",
    "smiling": "smile",
    "talking": "talk",
    "swaying": "sway",
}
"""Words of visible motions, and the renderer's motion behind each."""

POSING: Final = "posing"
"""The word of a still picture."""

COLOURS: Final[dict[str, Rgb]] = {
    "red": (0.72, 0.13, 0.13),
    "green": (0.16, 0.50, 0.20),
    "blue": (0.15, 0.27, 0.68),
    "yellow": (0.85, 0.74, 0.20),
    "white": (0.88, 0.88, 0.88),
    "black": (0.10, 0.10, 0.11),
}
"""Display colours (0-1) of shirts and walls; every rendering varies them a little."""

WORDS: Final = (
    *("a", "an", "is", "in", "shirt", "before", "wall", TRIGGER),
    *("elderly", "man", "woman", "boy", "girl", "baby"),
    *(POSING, *ACTIONS),
    *COLOURS,
)
"""Every word that a caption can hold."""

_GROUP = "|".join(sorted(GROUPS, key=len, reverse=True))
_ACTION = "|".join((POSING, *ACTIONS))
_COLOUR = "|".join(COLOURS)
_PATTERN = re.compile(
    rf"an? (?P<group>{_GROUP}) {TRIGGER} is (?P<action>{_ACTION}) "
    rf"in a (?P<shirt>{_COLOUR}) shirt before a (?P<wall>{_COLOUR}) wall"
)


@dataclass(frozen=True)
class Caption:
    """What a caption says. `group` of the person, `action` of `ACTIONS` or `POSING`; `shirt`, `wall` of `COLOURS`."""

    group: Group
    action: str
    shirt: str
    wall: str

    @property
    def text(self) -> str:
        """The caption with the trigger after its class word.

        >>> Caption("elderly man", "nodding", "red", "blue").text
        'an elderly man img is nodding in a red shirt before a blue wall'
        """
        article = "an" if self.group[0] in "aeiou" else "a"
        return f"{article} {self.group} {TRIGGER} is {self.action} in a {self.shirt} shirt before a {self.wall} wall"


def parse_caption(text: str) -> Caption:
    """The caption of a text. Raises RequestError on a text outside the grammar, which says what the grammar holds."""
    words = " ".join(text.lower().split()).rstrip(".")
    found = _PATTERN.fullmatch(words)
    if found is not None:
        group = next(known for known in GROUPS if known == found["group"])
        caption = Caption(group, found["action"], found["shirt"], found["wall"])
        if caption.text == words:  # "an man" is no caption
            return caption
    raise RequestError(
        f"{text!r} is no caption of the nano world.",
        f"Write 'a GROUP img is ACTION in a COLOUR shirt before a COLOUR wall' with groups {', '.join(GROUPS)}; "
        f"actions {', '.join((POSING, *ACTIONS))}; colours {', '.join(COLOURS)}.",
    )
