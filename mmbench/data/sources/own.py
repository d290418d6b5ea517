"""A user's own folder: `videos/PERSON/*.mp4` (or `videos/PERSON.mp4`), and pictures in `faces/PERSON/`.

A text file beside a video, of the same name, is its caption.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mmbench.data import filters
from mmbench.data.encode import Encode
from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.sources.clips import Motion, Shots, TrackFaces
from mmbench.data.stages import Captions, Work, detected, drop
from mmbench.data.types import Candidate, Dropped, FaceNote, ReferenceNote, unpacked
from mmbench.errors import ManifestError, MediaError
from mmbench.files import sha256
from mmbench.model.train.record import MAX_REFERENCES
from mmbench.video.endings import is_picture
from mmbench.video.image import read_image
from mmbench.video.listing import find_clips

PAPER = ""


class OwnList(Stage):
    """The folder's videos with their people and captions."""

    name = "list"

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        return [[row.origin, row.identity, sha256(row.caption.encode())] for row in self._rows()]

    def decide(self, atom: Atom) -> Outcome:
        return Outcome(tuple(self._rows()))

    def _rows(self) -> list[Candidate]:
        root, licence = self.work.settings.input, self.work.settings.licence
        videos = root / "videos"
        if not videos.is_dir():
            raise ManifestError(f"{videos}: there is no such folder.", "Put videos there, and pictures into faces/.")
        rows = []
        for number, path in enumerate(find_clips(videos).found):
            inside = path.relative_to(videos)
            person = inside.parts[0] if len(inside.parts) > 1 else inside.stem
            told = path.with_suffix(".txt")
            caption = " ".join(told.read_text(encoding="utf-8", errors="replace").split()) if told.is_file() else ""
            facts = {"licence": licence} if licence else {}
            key = f"own-{number:07d}"
            rows.append(Candidate(key, str(inside), str(path.resolve()), identity=person, caption=caption, facts=facts))
        return rows


class OwnFaces(Stage):
    """The person's pictures that the recogniser agrees with: up to four, those most alike first."""

    name = "references"
    filters: ClassVar[tuple[str, ...]] = ("no_picture", "cosine", "no_reference")

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        s = self.work.settings
        root = s.input / "faces"
        files = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if is_picture(path)]
        return [s.pairs.cosine, s.tools.faces, files]

    def open(self) -> None:
        self.analyser = self.work.tools.analyser()

    def close(self) -> None:
        del self.analyser

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        notes: list[ReferenceNote] = []
        dropped: list[Dropped] = []
        files = self._files(row.identity)
        if not files:
            return drop(row, ("no_picture", row.identity))
        for number, path in enumerate(files):
            key = f"{row.key}-{number}"
            try:
                found = detected(self.analyser, read_image(path))
            except MediaError as cause:
                dropped.append(Dropped(key, "unreadable", str(cause), str(path)))
                continue
            alike = filters.cosine(found[1], unpacked(row.vector)) if found else 0.0
            if found is None or not alike > self.work.settings.pairs.cosine:
                dropped.append(Dropped(key, "cosine", alike, str(path)))
                continue
            notes.append(ReferenceNote(str(path.resolve()), FaceNote.of(found[0]), alike))
        if not notes:
            return Outcome(dropped=(*dropped, Dropped(row.key, "no_reference", 0.0, row.file, row.frames[0])))
        notes.sort(key=lambda note: -(note.cosine or 0.0))
        return Outcome((replace(row, references=tuple(notes[:MAX_REFERENCES])),), tuple(dropped))

    def _files(self, person: str) -> list[Path]:
        root = self.work.settings.input / "faces"
        inside = root / person
        if inside.is_dir():
            return sorted(path for path in inside.iterdir() if is_picture(path))
        return sorted(path for path in root.glob("*") if is_picture(path) and path.stem == person)


def stages(work: Work) -> list[Stage]:
    """Cut, track, motion, caption, references, encode."""
    seen: list[Stage] = [Shots(work), TrackFaces(work), Motion(work), Captions(work, no_text=False, looked_at=3)]
    return [OwnList(work), *seen, OwnFaces(work), Encode(work, "clip")]
