"""Rendered people: clips of `mmbench synth clips --truth`, whose faces are known; nothing is detected.

References are frames of the person's other clips, so that nobody has to copy pixels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.data import filters
from mmbench.data.encode import Encode
from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.sources.clips import Motion, Shots, best_frames
from mmbench.data.sources.pairs import save_picture
from mmbench.data.stages import Captions, Work, drop, frames_of
from mmbench.data.types import Candidate, FaceNote, ReferenceNote, packed
from mmbench.errors import ManifestError, MediaError
from mmbench.files import read_json, whole
from mmbench.model.train.record import MAX_REFERENCES

PAPER = ""
INSIDE = 0.5
"""Share of the face's box that has to lie in the frame."""


class RenderedList(Stage):
    """The clips of a folder that have truth, with their people."""

    name = "list"

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        return [[row.origin, row.identity] for row in self._rows()]

    def decide(self, atom: Atom) -> Outcome:
        return Outcome(tuple(self._rows()))

    def _rows(self) -> list[Candidate]:
        folder = self.work.settings.input
        videos = sorted(path for path in folder.glob("*.mp4") if path.with_suffix(".npz").is_file())
        if not videos:
            raise ManifestError(f"{folder}: no rendered clip with truth.", "Run `mmbench synth clips --truth`.")
        rows = []
        for number, path in enumerate(videos):
            person = str(read_json(path.with_suffix(".json"))["identity"])
            word = person.rsplit("-", 1)[0].split("-")[-1]  # "elderly-man-03" is a man
            caption = f"a {word} img is in front of a wall"
            row = Candidate(f"rendered-{number:07d}", path.name, str(path.resolve()), identity=person, caption=caption)
            rows.append(replace(row, class_word=word))
        return rows


def truth(video: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes [F, 4] and points [F, 5, 2] of a rendered clip, NaN where most of the face is outside the frame."""
    try:
        with np.load(video.with_suffix(".npz"), allow_pickle=False) as held:
            boxes, points = held["box"].astype(np.float32), held["five"].astype(np.float32)
            gone = held["inside"] < INSIDE
    except (OSError, ValueError, KeyError) as cause:
        raise MediaError(f"{video}: its truth cannot be read: {cause!r}.", "Render the clip again.") from cause
    boxes[gone], points[gone] = np.nan, np.nan
    return boxes, points


class TrueTrack(Stage):
    """The rendered face through the clip, its vector, and up to four references from the person's other clips."""

    name = "track"
    filters: ClassVar[tuple[str, ...]] = ("no_face", "face_rate", "face_side", "no_reference")

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        return [self.work.settings.clips.face_rate, self.work.settings.clips.face_side, self.work.settings.tools.faces]

    def open(self) -> None:
        self.analyser = self.work.tools.analyser()

    def close(self) -> None:
        del self.analyser

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        video = Path(row.file)
        boxes, points = (known[list(row.frames)] for known in truth(video))
        if fault := filters.track_fault(boxes, np.zeros(len(boxes), np.bool_), self.work.settings.clips):
            return drop(row, fault)
        track = f"tracks/{row.key}.npz"
        with whole(self.work.place(track)) as part:
            np.savez(part, boxes=boxes, points=points)
        best = best_frames(boxes, points, 1)[0]
        note = _note(boxes[best], points[best])
        vector = packed(self.analyser.embed(frames_of(self.work, row, (row.frames[best],))[0], note.face()))
        references: list[ReferenceNote] = []
        for other in sorted(video.parent.glob(f"{row.identity}_*.mp4")):
            if other.name != video.name and len(references) < MAX_REFERENCES and other.with_suffix(".npz").is_file():
                references.append(self._reference(row, other, len(references)))
        if not references:
            return drop(row, ("no_reference", row.identity))
        return Outcome((replace(row, face=note, vector=vector, track=track, references=tuple(references)),))

    def _reference(self, row: Candidate, other: Path, number: int) -> ReferenceNote:
        boxes, points = truth(other)
        best = best_frames(boxes, points, 1)
        if not best:
            raise MediaError(f"{other}: it shows no face.", "Render the clip again.")
        place = f"keys/{row.key}-{number}.png"
        save_picture(self.work.place(place), frames_of(self.work, replace(row, file=str(other)), (best[0],))[0])
        return ReferenceNote(place, _note(boxes[best[0]], points[best[0]]))


def _note(box: NDArray[np.float32], points: NDArray[np.float32]) -> FaceNote:
    left, top, right, bottom = (float(edge) for edge in box)
    return FaceNote((left, top, right, bottom), tuple((float(x), float(y)) for x, y in points), 1.0)


def stages(work: Work) -> list[Stage]:
    """Cut, track, motion, caption, encode."""
    captions = Captions(work, no_text=False)
    return [RenderedList(work), Shots(work), TrueTrack(work), Motion(work), captions, Encode(work, "clip")]
