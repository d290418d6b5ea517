"""What a test set is: identities with their references and prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mmbench.testsets.face_form import face_form

Group = Literal["man", "woman", "elderly man", "elderly woman", "boy", "girl", "baby"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""The paper's seven groups (section 4.1)."""

PROMPTS_PER_IDENTITY = 4


@dataclass(frozen=True)
class Prompt:
    """One prompt of one identity, both texts with the trigger after the class word.

    `id` is unique within the set and enters the seed; `index` counts an identity's prompts from 0. `face` is the
    face-enhanced form (`mmbench.testsets.face_form`), which keeps person, action and scene of `long`.
    """

    id: str
    index: int
    short: str
    long: str

    @property
    def face(self) -> str:
        """The long text in which the face is seen."""
        return face_form(self.long)


@dataclass(frozen=True)
class Identity:
    """One person: group, the class word before the trigger ("man" in "elderly man img"), 1-4 pictures, prompts.

    `group` is "" in sets that do not say it. `shown` are the pictures that models are given, the others are held out:
    what is copied is told from them.
    """

    id: str
    group: str
    class_word: str
    references: tuple[Path, ...]
    prompts: tuple[Prompt, ...]
    shown: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Where a set says nothing, all pictures are given."""
        if not self.shown:
            object.__setattr__(self, "shown", self.references)


@dataclass(frozen=True)
class TestSet:
    """Identities in a fixed order. `licence` says what may be done with the pictures."""

    __test__ = False  # not a pytest class

    name: str
    folder: Path
    licence: str
    identities: tuple[Identity, ...]

    @property
    def size(self) -> int:
        """Number of videos one model makes for this set."""
        return sum(len(identity.prompts) for identity in self.identities)
