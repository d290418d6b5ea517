"""B, SFHQ: square portraits between black bars, under one caption with a class word."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from mmbench.data import filters
from mmbench.data.encode import Encode
from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.stages import FindFaces, List, Work, class_words, drop
from mmbench.trigger import marked_word
from mmbench.video.image import read_image

PAPER = "120 K pictures, no filter named"


class FillTemplate(Stage):
    """The template's caption: the class word by age and gender where there are attributes, else the captioner's."""

    name = "template"
    filters: ClassVar[tuple[str, ...]] = ("identity_word",)

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        settings = self.work.settings
        self.words = class_words(settings.attributes)
        return [settings.template, self.words or settings.tools.captioner]

    def open(self) -> None:
        self.captioner = None if self.words else self.work.tools.captioner()

    def close(self) -> None:
        del self.captioner

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        word = self.words.get(row.origin, "")
        if self.captioner is not None:
            told = filters.marked(self.captioner.caption([read_image(self.work.place(row.file))]))
            found = marked_word(told) if told else None
            word = found.word.lower() if found else ""
        if not word:
            return drop(row, ("identity_word", "no attributes, and no word for one person in its caption"))
        return Outcome((replace(row, class_word=word, caption=self.work.settings.template.format(word=word)),))


def stages(work: Work) -> list[Stage]:
    """Face (any that is found), caption, encode."""
    return [List(work, videos=False), FindFaces(work, strict=False), FillTemplate(work), Encode(work, "image")]
