"""The last stage: candidates become records, in shards; texts are encoded once each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from mmbench.data.ledger import UNREADABLE, Atom, Outcome, Stage
from mmbench.data.stages import Work, frames_of
from mmbench.data.types import Candidate, Dropped, FaceNote
from mmbench.errors import MediaError, RequestError
from mmbench.model.train.record import MAX_WORD_ROWS, Reference, TrainingRecord
from mmbench.model.train.shards import write_shard
from mmbench.model.train.text_store import EMPTY, TextStore, text_key
from mmbench.trigger import without_trigger
from mmbench.video.image import read_image

if TYPE_CHECKING:
    from mmbench.face.geometry import Array
    from mmbench.video.clip import Frame

REFERENCE_ROOM = 2.2
"""A reference's square in sides of its face: the crop's margin varies up to 2 in training."""
REFERENCE_SIDE = 448


@dataclass(frozen=True)
class Fit:
    """A window (left, top, right, bottom) of the picture, resized to (height, width), black on both sides of it."""

    window: tuple[int, int, int, int]
    height: int
    width: int
    bars: int = 0

    def picture(self, frame: Frame) -> NDArray[np.uint8]:
        """(height, width + 2 bars, 3)."""
        from PIL import Image

        cut = Image.fromarray(frame).crop(self.window)
        fitted = np.asarray(cut.resize((self.width, self.height), Image.Resampling.LANCZOS))
        return np.pad(fitted, ((0, 0), (self.bars, self.bars), (0, 0)))

    def points(self, places: Array) -> NDArray[np.float32]:
        """Places (..., 2) of the picture in the fitted one."""
        left, top, right, bottom = self.window
        scale = np.array([self.width / (right - left), self.height / (bottom - top)])
        moved = (places - np.array([left, top])) * scale + np.array([self.bars, 0])
        return np.asarray(moved, dtype=np.float32)

    def box(self, box: Array) -> NDArray[np.float32]:
        """Boxes (..., 4) likewise."""
        return self.points(box.reshape(*box.shape[:-1], 2, 2)).reshape(box.shape)


def cropped(height: int, width: int, box: Array, size: tuple[int, int]) -> Fit | None:
    """The largest window of `size`'s shape around a face; None where the face does not fit into it."""
    tall, wide = size
    scale = min(height / tall, width / wide)
    rows, columns = int(tall * scale), int(wide * scale)
    x, y = (float(box[0]) + float(box[2])) / 2, (float(box[1]) + float(box[3])) / 2
    left = int(min(max(x - columns / 2, 0), width - columns))
    top = int(min(max(y - rows / 2, 0), height - rows))
    inside = box[0] >= left and box[1] >= top and box[2] <= left + columns and box[3] <= top + rows
    return Fit((left, top, left + columns, top + rows), tall, wide) if inside else None


def barred(height: int, width: int, size: tuple[int, int]) -> Fit:
    """The middle square of a picture at full height, with black bars: 480 x 480 between 120 and 120 for 480 x 720."""
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return Fit((left, top, left + side, top + side), size[0], size[0], (size[1] - size[0]) // 2)


def reference_cut(picture: Frame, note: FaceNote) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """A face with room around it, at most 448 pixels a side, and its box there. Cut at the picture's borders."""
    from PIL import Image

    height, width = picture.shape[:2]
    left, top, right, bottom = note.box
    half = REFERENCE_ROOM * max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0 = max(0, int(x - half)), max(0, int(y - half))
    x1, y1 = min(width, int(np.ceil(x + half))), min(height, int(np.ceil(y + half)))
    if x1 <= x0 or y1 <= y0:
        raise MediaError("A reference's face lies outside its picture.", "Build the source again.")
    cut = picture[y0:y1, x0:x1]
    scale = min(1.0, REFERENCE_SIDE / max(cut.shape[:2]))
    if scale < 1:
        fitted = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
        cut = np.asarray(Image.fromarray(cut).resize(fitted, Image.Resampling.LANCZOS))
    box = ((left - x0) * scale, (top - y0) * scale, (right - x0) * scale, (bottom - y0) * scale)
    return np.array(cut, dtype=np.uint8), box


class Encode(Stage):
    """Records of one kind, in shards of `shard_records`; a shard is one piece of work, whole or not there."""

    filters: ClassVar[tuple[str, ...]] = ("crop", "word_rows")
    feeds = False

    def __init__(self, work: Work, kind: str) -> None:
        self.work, self.kind = work, kind
        self.name = "images" if kind == "image" else "clips"
        self.texts = TextStore(work.out / "texts")
        self._written = 0

    def decides(self) -> object:
        s = self.work.settings
        return [s.height, s.width, s.frames, s.fps, s.shard_records, s.tools.base, s.tools.faces]

    def atoms(self, rows: Iterable[Candidate]) -> Iterator[Atom]:
        ours = (row for row in rows if row.kind == self.kind)
        while held := tuple(islice(ours, self.work.settings.shard_records)):
            yield held

    def pieces(self, given: int) -> int:
        return -(-given // self.work.settings.shard_records)

    def recall(self, outcome: Outcome) -> None:
        self._written += 1

    def open(self) -> None:
        self.encoder = self.work.tools.encoder()
        self.analyser = self.work.tools.analyser()
        if EMPTY not in self.texts:
            self.texts.put_empty(self.encoder.text(""))

    def close(self) -> None:
        del self.encoder, self.analyser

    def decide(self, atom: Atom) -> Outcome:
        kept: list[Candidate] = []
        dropped: list[Dropped] = []

        def records() -> Iterator[TrainingRecord]:
            for row in atom:
                try:
                    found = self.record(row)
                except MediaError as cause:
                    found = Dropped(row.key, UNREADABLE, str(cause), row.file)
                if isinstance(found, Dropped):
                    dropped.append(found)
                else:
                    kept.append(row)
                    yield found

        write_shard(self.work.folder / self.name / f"{self._written:06d}.tar", records())
        return Outcome(tuple(kept), tuple(dropped))

    def record(self, row: Candidate) -> TrainingRecord | Dropped:
        """The record of a candidate, its text in the store; or why there is none."""
        settings, size = self.work.settings, (self.work.settings.height, self.work.settings.width)
        boxes, points = self._faces(row)
        frames = self._frames(row)
        height, width = frames[0].shape[:2]
        if settings.source == "B":
            fit: Fit | None = barred(height, width, size)
        else:
            reach = [*np.nanmin(boxes[:, :2], axis=0), *np.nanmax(boxes[:, 2:], axis=0)]
            fit = cropped(height, width, np.array(reach if row.kind == "image" else np.nanmedian(boxes, axis=0)), size)
        if fit is None:
            return Dropped(row.key, "crop", f"face {row.face.box if row.face else ''} in {width}x{height}", row.file)
        try:
            words = self.encoder.word_rows(row.caption)
        except RequestError as cause:
            return Dropped(row.key, "word_rows", str(cause), row.file)
        if len(words) > MAX_WORD_ROWS:
            return Dropped(row.key, "word_rows", float(len(words)), row.file)
        caption = without_trigger(row.caption)
        key = text_key(caption, self.encoder.name, self.encoder.rows)
        if key not in self.texts:
            self.texts.put(key, self.encoder.text(caption))
        fitted = np.stack([fit.picture(frame) for frame in frames])
        return TrainingRecord(
            key=row.key,
            source=settings.source,
            identity=row.identity or row.key,
            caption=caption,
            text=key,
            word_positions=words,
            latents=self.encoder.latents(fitted),
            height=size[0],
            width=size[1],
            boxes=torch.from_numpy(fit.box(boxes)),
            points=torch.from_numpy(fit.points(points)),
            references=self._references(row, frames),
            fps=settings.fps,
            facts={**row.facts, "origin": row.origin, "class_word": row.class_word},
        )

    def _frames(self, row: Candidate) -> list[Frame]:
        if row.kind == "clip":
            return frames_of(self.work, row, row.frames)
        return [read_image(self.work.place(row.file))]

    def _faces(self, row: Candidate) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes [F, 4] and points [F, 5, 2] in the pixels of the source."""
        if row.track:
            with np.load(self.work.place(row.track), allow_pickle=False) as held:
                return held["boxes"], held["points"]
        if row.face is None:
            raise MediaError(f"{row.key}: it has no face.", "Build the source again.")
        return np.array([row.face.box], np.float32), np.array([row.face.points], np.float32)

    def _references(self, row: Candidate, frames: list[Frame]) -> tuple[Reference, ...]:
        """Of the candidate's reference pictures; without any, the picture itself, before bars or crop."""
        if not row.references:
            if row.face is None:
                raise MediaError(f"{row.key}: it has neither a reference nor a face.", "Build the source again.")
            return (self._reference(frames[0], row.face, 1.0),)
        return tuple(
            self._reference(read_image(self.work.place(note.file)), note.face, note.cosine) for note in row.references
        )

    def _reference(self, picture: Frame, note: FaceNote, cosine: float | None) -> Reference:
        vector = torch.from_numpy(np.asarray(self.analyser.embed(picture, note.face()), dtype=np.float32))
        cut, box = reference_cut(picture, note)
        return Reference(vector, torch.from_numpy(cut).permute(2, 0, 1).contiguous(), box, None, cosine)
