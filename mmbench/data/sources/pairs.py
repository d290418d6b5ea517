"""C, FFHQ with PhotoMaker-V2: the picture is the reference, and made pictures of the same person are the targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from mmbench.data import filters
from mmbench.data.encode import Encode
from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.stages import FindFaces, List, Work, class_words, detected, drop
from mmbench.data.types import Candidate, FaceNote, ReferenceNote, packed, unpacked
from mmbench.errors import ManifestError
from mmbench.files import sha256, sha256_file, whole
from mmbench.trigger import marked_word
from mmbench.video.image import read_image

PAPER = "70 K FFHQ pictures, 132 K made ones (v1) or 139 K (v2)"

MALE = frozenset(
    ("man", "boy", "gentleman", "guy", "male", "policeman", "fireman", "actor", "king", "prince", "groom", "father")
    + ("dad", "son", "brother", "grandfather", "grandpa", "cowboy", "waiter", "businessman", "husband", "uncle")
)
FEMALE = frozenset(
    ("woman", "girl", "lady", "female", "policewoman", "actress", "queen", "princess", "bride", "mother", "mom")
    + ("daughter", "sister", "grandmother", "grandma", "cowgirl", "waitress", "businesswoman", "wife", "aunt")
)
"""Words for a person that a prompt cannot have for somebody of the other gender."""


def read_prompts(path: Path | None) -> list[str]:
    """The pool: one prompt a line, with the trigger; a word is marked where it lacks. Raises ManifestError."""
    if path is None:
        raise ManifestError("prompts: this source needs a pool of prompts.", "Name a file with one prompt a line.")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as cause:
        raise ManifestError(f"{path}: cannot be read: {cause}.", "Name a file with one prompt a line.") from cause
    pool = [line if marked_word(line) else filters.marked(line) for line in lines]
    wrong = [line for line, found in zip(lines, pool, strict=True) if found is None]
    if wrong or not pool:
        said = f"{len(wrong)} prompts have no word for one person, the first: {wrong[0]!r}" if wrong else "it is empty"
        raise ManifestError(f"{path}: {said}.", "Mark the word with img, or take the prompt out.")
    return [found for found in pool if found]


def chosen(pool: list[str], key: str, count: int, seed: int, word: str = "") -> list[str]:
    """`count` different prompts of the pool for one key, those of the other gender left out where `word` tells it."""
    other = FEMALE if word in MALE else MALE if word in FEMALE else frozenset()
    fitting = [prompt for prompt in pool if (found := marked_word(prompt)) and found.word.lower() not in other]
    draw = np.random.default_rng(int(sha256(f"{seed} {key}".encode())[:16], 16))
    return [fitting[int(k)] for k in draw.permutation(len(fitting))[:count]]


def save_picture(path: Path, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    """Write a PNG whole or not at all."""
    from PIL import Image

    with whole(path) as part:
        Image.fromarray(picture).save(part, "PNG", compress_level=3)


class Identities(Stage):
    """One picture a person: whoever looks like one that was kept is dropped."""

    name = "identities"
    filters: ClassVar[tuple[str, ...]] = ("duplicate",)
    splits: ClassVar[bool] = False

    def __init__(self, work: Work) -> None:
        self.work, self._kept = work, _Vectors()

    def decides(self) -> object:
        return self.work.settings.pairs.duplicate

    def recall(self, outcome: Outcome) -> None:
        for row in outcome.kept:
            self._kept.add(unpacked(row.vector))

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        nearest = self._kept.nearest(unpacked(row.vector))
        if nearest > self.work.settings.pairs.duplicate:
            return drop(row, ("duplicate", nearest))
        return Outcome((row,))


class _Vectors:
    """Directions that grow in number, in one array."""

    def __init__(self) -> None:
        self._held = np.zeros((0, 0), np.float32)
        self._count = 0

    def add(self, vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        if self._count == len(self._held):
            grown = np.zeros((max(64, 2 * self._count), len(vector)), np.float32)
            grown[: self._count] = self._held[: self._count] if self._count else 0
            self._held = grown
        self._held[self._count] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        self._count += 1

    def nearest(self, vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
        """The largest cosine to one of them; -1 without any."""
        if not self._count:
            return -1.0
        unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return round(float((self._held[: self._count] @ unit).max()), 6)


class Pairs(Stage):
    """Made pictures of each person under prompts of the pool, kept where the recogniser agrees and poses vary."""

    name = "pairs"
    filters: ClassVar[tuple[str, ...]] = ("no_face", "cosine", "nsfw", "same_pose")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.turned = self.alike = 0

    def decides(self) -> object:
        s = self.work.settings
        if s.prompts is None:
            read_prompts(None)
        assert s.prompts is not None
        named = [s.tools.generator, s.tools.faces, s.tools.judge, s.faces.nsfw, s.attributes and str(s.attributes)]
        return [s.pairs.model_dump(), s.seed, [s.height, s.width], named, sha256_file(s.prompts)]

    def atoms(self, rows: Iterable[Candidate]) -> Iterator[Atom]:
        settings = self.work.settings
        pool, words = read_prompts(settings.prompts), class_words(settings.attributes)
        for row in rows:
            word = words.get(row.origin, "")
            prompts = chosen(pool, row.key, settings.pairs.per_identity, settings.seed, word)
            for number, prompt in enumerate(prompts):
                yield (replace(row, key=f"{row.key}-{number}", caption=prompt, class_word=word),)

    def pieces(self, given: int) -> int:
        return given * self.work.settings.pairs.per_identity

    def open(self) -> None:
        tools = self.work.tools
        self.generator, self.analyser, self.judge = tools.generator(), tools.analyser(), tools.judge()

    def close(self) -> None:
        del self.generator, self.analyser, self.judge

    def recall(self, outcome: Outcome) -> None:
        for row in outcome.kept:
            self.turned += bool(row.facts["turned"] >= self.work.settings.pairs.degrees)
            self.alike += bool(row.facts["turned"] < self.work.settings.pairs.degrees)

    def decide(self, atom: Atom) -> Outcome:
        row, settings = atom[0], self.work.settings
        assert row.face is not None
        size = (settings.height, settings.width)
        seed = int(sha256(f"{settings.seed} {row.key}".encode())[:8], 16)
        made = self.generator.make(row.caption, [read_image(self.work.place(row.file))], size, seed)
        place = f"made/{row.key}.png"
        save_picture(self.work.place(place), made)
        found = detected(self.analyser, made)
        if found is None:
            return drop(row, ("no_face", 0.0), place)
        face, vector = found
        alike = filters.cosine(vector, unpacked(row.vector))
        if not alike > settings.pairs.cosine:
            return drop(row, ("cosine", alike), place)
        if self.judge is not None and (shown := self.judge.score(made)) >= settings.faces.nsfw:
            return drop(row, ("nsfw", round(shown, 4)), place)
        degrees = filters.turned(face.points, row.face.face().points)
        if degrees < settings.pairs.degrees and self.turned < settings.pairs.turned * (self.turned + self.alike + 1):
            return drop(row, ("same_pose", degrees), place)
        reference = ReferenceNote(row.file, row.face, alike)
        facts = {**row.facts, "turned": degrees}
        note = FaceNote.of(face)
        kept = replace(row, file=place, face=note, vector=packed(vector), references=(reference,), facts=facts)
        return Outcome((kept,))


def stages(work: Work) -> list[Stage]:
    """Face (any that is found), people, pairs, encode."""
    faces = FindFaces(work, strict=False)
    return [List(work, videos=False), faces, Identities(work), Pairs(work), Encode(work, "image")]
