"""Stages that several sources share: the list of what there is, the picture's face, the caption."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.data import filters
from mmbench.data.fetch import read_list
from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.settings import DataSettings
from mmbench.data.types import Candidate, Dropped, FaceNote, packed
from mmbench.engine.shard import Shard
from mmbench.errors import ManifestError, MediaError
from mmbench.face.geometry import largest
from mmbench.files import sha256_file
from mmbench.video.endings import is_picture
from mmbench.video.image import read_image
from mmbench.video.listing import find_clips
from mmbench.video.read import open_clip

if TYPE_CHECKING:
    from mmbench.data.types import Captioner, Encoder, Generator, Judge
    from mmbench.face.types import Analyser, Face
    from mmbench.flow.types import FlowBackend
    from mmbench.video.clip import Frame


@dataclass
class Tools:
    """Makers of the networks; each is made when a stage begins and dropped at its end, so that one is in memory."""

    analyser: Callable[[], Analyser]
    captioner: Callable[[], Captioner]
    generator: Callable[[], Generator]
    judge: Callable[[], Judge | None]
    flow: Callable[[], FlowBackend]
    encoder: Callable[[], Encoder]


def folder_name(source: str, shard: Shard) -> str:
    """The folder of a source, or of a part of one, below the data set's."""
    return source if shard.count == 1 else f"{source}.{shard.index}-of-{shard.count}"


@dataclass
class Work:
    """One source's build, or a part of it: settings, the data set's folder, and the networks. `folder` is its own."""

    settings: DataSettings
    out: Path
    tools: Tools
    shard: Shard = field(default_factory=Shard)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.out / folder_name(self.settings.source, self.shard)

    def place(self, file: str) -> Path:
        """Where a candidate's file lies."""
        return self.folder / file


def drop(row: Candidate, fault: filters.Fault, file: str = "") -> Outcome:
    """The outcome of a candidate with a fault."""
    frame = row.frames[len(row.frames) // 2] if row.frames else 0
    return Outcome(dropped=(Dropped(row.key, fault[0], fault[1], file or row.file, frame),))


class List(Stage):
    """What there is: the pictures or videos of a folder, or the addresses of a list. One piece of work, short."""

    name = "list"

    def __init__(self, work: Work, videos: bool) -> None:
        self.work, self.videos = work, videos

    def decides(self) -> object:
        source = self.work.settings.input
        if source.is_dir():
            return [str(path.relative_to(source)) for path in self._files()]
        if not source.is_file():
            raise ManifestError(f"{source}: there is no such folder or list.", "Name it as `input`.")
        return sha256_file(source)

    def decide(self, atom: Atom) -> Outcome:
        settings = self.work.settings
        if settings.input.is_dir():
            rows = [Candidate("", str(p.relative_to(settings.input)), str(p.resolve())) for p in self._files()]
        else:
            rows = list(read_list(settings.input))
        licence = {"licence": settings.licence} if settings.licence else {}
        made = (
            replace(row, key=f"{settings.source}-{number:07d}", facts={**licence, **row.facts})
            for number, row in enumerate(rows)
        )
        return Outcome(tuple(made))

    def _files(self) -> list[Path]:
        source = self.work.settings.input
        if self.videos:
            return list(find_clips(source).found)
        return sorted(path for path in source.rglob("*") if is_picture(path) and path.is_file())


def picture_of(work: Work, row: Candidate) -> Frame:
    """The picture of a candidate, or the middle frame of its clip."""
    if row.kind == "clip":
        return frames_of(work, row, row.frames[len(row.frames) // 2 :][:1])[0]
    return read_image(work.place(row.file))


def frames_of(work: Work, row: Candidate, numbers: tuple[int, ...]) -> list[Frame]:
    """Some frames of a candidate's video, in rising order. Raises MediaError where one of them is missing."""
    wanted, found = set(numbers), []
    for number, frame in enumerate(open_clip(work.place(row.file)).frames()):
        if number in wanted:
            found.append(frame)
        if number >= max(numbers):
            break
    if len(found) < len(numbers):
        raise MediaError(f"{row.file}: it ends before frame {max(numbers)}.", "Get the file again.")
    return found


class FindFaces(Stage):
    """The picture's one face, with its vector. `strict`: size, score and company count too, as for source A."""

    name = "faces"
    filters: ClassVar[tuple[str, ...]] = ("short_side", *filters.FACE_FILTERS, "nsfw")

    def __init__(self, work: Work, strict: bool) -> None:
        self.work = work
        self.bounds = work.settings.faces
        if not strict:
            loose = {"short_side": 0, "score": 0.0, "side": 0.0, "share": 0.0}
            self.bounds = self.bounds.model_copy(update=loose)

    def decides(self) -> object:
        tools = self.work.settings.tools
        return [self.bounds.model_dump(), tools.faces, tools.judge]

    def open(self) -> None:
        self.analyser = self.work.tools.analyser()
        self.judge = self.work.tools.judge()

    def close(self) -> None:
        del self.analyser, self.judge

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        picture = read_image(self.work.place(row.file))
        height, width = picture.shape[:2]
        if fault := filters.short_side(height, width, self.bounds.short_side):
            return drop(row, fault)
        main = filters.one_face(self.analyser.find(picture), height, width, self.bounds)
        if isinstance(main, tuple):
            return drop(row, main)
        if self.judge is not None and (shown := self.judge.score(picture)) >= self.bounds.nsfw:
            return drop(row, ("nsfw", round(shown, 4)))
        note = FaceNote.of(main)
        vector = self.analyser.embed(picture, note.face())
        return Outcome((replace(row, face=note, vector=packed(vector), identity=row.identity or row.key),))


class Captions(Stage):
    """A caption with the trigger after its word for the person. `no_text`: one that speaks of writing is dropped."""

    name = "captions"
    filters: ClassVar[tuple[str, ...]] = ("text_word", "identity_word")

    def __init__(self, work: Work, no_text: bool, looked_at: int = 1) -> None:
        self.work, self.looked_at = work, looked_at
        self.lexicon = work.settings.text_words if no_text else ()

    def decides(self) -> object:
        return [list(self.lexicon), self.looked_at, self.work.settings.tools.captioner]

    def open(self) -> None:
        self.captioner = self.work.tools.captioner()

    def close(self) -> None:
        del self.captioner

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        if row.caption:
            caption = row.caption
        elif row.kind == "clip":
            picked = np.linspace(0, len(row.frames) - 1, self.looked_at + 2).round().astype(int)[1:-1]
            numbers = tuple(sorted({row.frames[int(k)] for k in picked}))
            caption = self.captioner.caption(frames_of(self.work, row, numbers))
        else:
            caption = self.captioner.caption([picture_of(self.work, row)])
        if word := filters.text_word(caption, self.lexicon):
            return drop(row, ("text_word", word))
        found = filters.marked(caption)
        if found is None:
            return drop(row, ("identity_word", caption[:200]))
        return Outcome((replace(row, caption=found),))


def class_words(path: Path | None) -> dict[str, str]:
    """Class word of each file of an attributes CSV (file, age, gender); none without one.

    Raises ManifestError for a table that cannot be used.
    """
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {row["file"]: class_word(float(row["age"]), row["gender"]) for row in csv.DictReader(stream)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as cause:
        raise ManifestError(
            f"{path}: cannot be read as attributes: {cause!r}.", "Give a CSV with the columns file, age, gender."
        ) from cause


def class_word(age: float, gender: str) -> str:
    """The word for a person of an age in years and a gender ("f...", "w..." or another)."""
    female = gender.strip().lower()[:1] in ("f", "w")
    if age < 3:
        return "baby"
    if age < 14:
        return "girl" if female else "boy"
    return "woman" if female else "man"


def detected(analyser: Analyser, picture: Frame) -> tuple[Face, NDArray[np.float32]] | None:
    """The largest face of a picture and its vector; None without a face."""
    faces = analyser.find(picture)
    if not faces:
        return None
    main = FaceNote.of(faces[largest([face.box for face in faces])]).face()
    return main, analyser.embed(picture, main)
