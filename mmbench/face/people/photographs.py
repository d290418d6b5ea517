"""Which of a person's pictures a model was given, and how alike two pictures of one person are: what copying shows by.

A clip that copies the picture shown is more like that picture than the person's other pictures are. Where a person has
no other picture, those of the run's other people say how alike a second one would have been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.needs import ArcFaceReferences, ReferenceNeed, digest_of_people, faces_of_people
from mmbench.face.people.bank import unit
from mmbench.files import content_of, sha256
from mmbench.items import Item

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.face.track import ReferenceFaces
    from mmbench.face.types import FaceBackend
    from mmbench.video.need import Networks

MIN_PEOPLE = 5
"""With fewer people who have a second picture, a run does not say how alike two pictures of one person are."""

SAME_PICTURE = 0.5
"""Degrees: closer together than this, two pictures are taken for one that is there twice."""


@dataclass(frozen=True)
class Likeness:
    """Two pictures of one person, on average over people: their angle in degrees, and their cosine.

    `people` is the number of people measured and `whose` says in words who they were.
    """

    degrees: float
    cosine: float
    people: int
    whose: str


RENDERED = Likeness(7.7, 0.9904, 37, "people rendered for synthetic50")
"""dlib's recogniser on the bundled set's pictures (a test measures it again)."""

PHOTOGRAPHED = Likeness(13.9, 0.9693, 9, "people of public photographs")
"""dlib's recogniser on 66 photographs of nine people, as `likeness` takes them.

Five are those of dlib's example "johns" (11 photographs each; 10 to 14 degrees a person), four those of the repository
face_recognition (2 to 4 each; 14 to 18 degrees). Few people, and the recogniser may have learned from some of the
photographs, which brings them closer: rather too small than too large, so that it accuses too little. Not bundled; a
test measures again what `MMBENCH_PHOTOGRAPHS` names."""


@dataclass(frozen=True, eq=False)
class Photographs:
    """The references of one item: `faces`, and which rows of them were `shown` to the model, (R,) bool.

    `likeness` stands in for a person without a held-out picture; None where nothing is known. `bank` is the digest of
    the run's people where they said it, else empty.
    """

    faces: ReferenceFaces
    shown: NDArray[np.bool_]
    likeness: Likeness | None
    bank: str = ""


def shown_rows(item: Item) -> NDArray[np.bool_]:
    """Which of an item's references the model was given, (R,) bool: those it names, else the first alone."""
    return _shown_of(item.references, item.shown)


def _shown_of(references: tuple[Path, ...], shown: tuple[Path, ...]) -> NDArray[np.bool_]:
    given = shown or references[:1]
    return np.array([path in given for path in references], dtype=np.bool_)


def likeness(people: Mapping[str, Sequence[ReferenceFaces]]) -> Likeness | None:
    """How alike two pictures of one person are; None with fewer than `MIN_PEOPLE` people who have two.

    As copying is measured: a picture or its mirror image, whichever is more alike.
    """
    degrees, cosines = [], []
    for sets in people.values():
        faces = unit(np.concatenate([one.embeddings for one in sets]))
        turned = unit(np.concatenate([one.embeddings if one.mirrored is None else one.mirrored for one in sets]))
        either = np.maximum(faces @ faces.T, np.maximum(faces @ turned.T, turned @ faces.T))
        alike = either[np.triu_indices(len(faces), 1)].clip(-1, 1)
        apart = np.degrees(np.arccos(alike))
        if (two := apart > SAME_PICTURE).any():
            degrees.append(float(apart[two].mean()))
            cosines.append(float(alike[two].mean()))
    if len(degrees) < MIN_PEOPLE:
        return None
    return Likeness(float(np.mean(degrees)), float(np.mean(cosines)), len(degrees), "people of this run")


class PhotographsNeed(ReferenceNeed[Photographs]):
    """The references of an item told apart by who has seen them, embedded by dlib's recogniser."""

    name = "photographs"
    revision = 4
    without: Likeness | None = PHOTOGRAPHED
    """What is taken where the run's own people do not say it."""

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], Photographs | None]:
        """The pictures of one item, with what all people of the run say."""
        from mmbench.face.people.store import keys_once

        known, key = self.known(run), keys_once()
        own = likeness(faces_of_people(items, known))
        typical, bank = own or self.without, digest_of_people(items) if own else ""

        def read(item: Item) -> Photographs | None:
            faces = known.get(key(item.references)) if item.references else None
            return Photographs(faces, shown_rows(item), typical, bank) if faces is not None else None

        return read

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """Everybody's references, and which of its own an item's model was given."""
        everybody, content = digest_of_people(items), cache(content_of)

        @cache
        def said(references: tuple[Path, ...], shown: tuple[Path, ...]) -> str:
            rows = _shown_of(references, shown).tolist()
            return sha256(json.dumps([everybody, [content(path) for path in references], rows]).encode())

        return lambda item: said(item.references, item.shown)


class ArcFacePhotographsNeed(PhotographsNeed):
    """The same, embedded by ArcFace."""

    name = "arcface photographs"
    store = ArcFaceReferences.store
    without = None

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """As the references embedded by ArcFace."""
        return ArcFaceReferences().depends_on(settings)

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceBackend:
        """As the references embedded by ArcFace."""
        return ArcFaceReferences().make(settings, networks)

    def check(self, settings: EvaluateSettings) -> None:
        """As the references embedded by ArcFace."""
        ArcFaceReferences().check(settings)


PHOTOGRAPHS = PhotographsNeed()
ARCFACE_PHOTOGRAPHS = ArcFacePhotographsNeed()
