"""D, Pexels and Mixkit: videos cut into clips of one person, with references made of their best frames."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.data import filters
from mmbench.data.encode import Encode
from mmbench.data.fetch import Fetch
from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.sources.pairs import chosen, read_prompts, save_picture
from mmbench.data.stages import Captions, List, Work, detected, drop, frames_of
from mmbench.data.types import Candidate, Dropped, FaceNote, ReferenceNote, packed, unpacked
from mmbench.face.select import Linker, has_second_face
from mmbench.files import sha256, sha256_file, whole
from mmbench.trigger import marked_word
from mmbench.video.read import open_clip

PAPER = "about 600 K clips, 29 K videos and 120 K images of them (v1) or 132 K (v2)"

KEY_FRAMES = 3
"""Frames that references are made of: the largest faces that look most straight ahead, apart in time."""


class Shots(Stage):
    """Videos cut at hard cuts into clips of `frames` at `fps`."""

    name = "shots"
    filters: ClassVar[tuple[str, ...]] = ("short_side", "rate", "length", "cut")

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        s = self.work.settings
        return [s.clips.short_side, s.clips.cut, s.clips.per_shot, s.frames, s.fps]

    def decide(self, atom: Atom) -> Outcome:
        row, settings = atom[0], self.work.settings
        clip = open_clip(self.work.place(row.file))
        info = clip.info
        if fault := filters.short_side(info.height, info.width, settings.clips.short_side):
            return drop(row, fault)
        changes: list[float] = []
        before: NDArray[np.float32] | None = None
        for frame in clip.frames():
            now = filters.colours(frame)
            if before is not None:
                changes.append(filters.change(before, now))
            before = now
        times = np.array(info.times) if len(info.times) > len(changes) else np.arange(len(changes) + 1) / info.fps
        found = filters.shots(changes, settings.clips.cut)
        kept: list[Candidate] = []
        try:
            for first, after in found:
                for _ in range(settings.clips.per_shot):
                    numbers = filters.frames_at(times, first, after, settings.frames, settings.fps)
                    if len(numbers) < settings.frames:
                        break
                    key, facts = f"{row.key}-{len(kept)}", {**row.facts, "video_fps": round(info.fps, 3)}
                    kept.append(replace(row, key=key, kind="clip", frames=numbers, facts=facts))
                    first = numbers[-1] + 1
                    if first >= after:
                        break
        except ValueError as cause:
            return drop(row, ("rate", str(cause)))
        if kept:
            return Outcome(tuple(kept))
        seconds = float(times[-1] - times[0]) + 1 / info.fps
        long_enough = len(found) > 1 and seconds * settings.fps >= settings.frames
        return drop(row, ("cut" if long_enough else "length", round(seconds, 3)))


class TrackFaces(Stage):
    """One face through the clip: boxes and points of every frame, and the vector of its best frame."""

    name = "track"
    filters: ClassVar[tuple[str, ...]] = ("no_face", "face_rate", "face_side", "second_face", "nsfw")

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        s = self.work.settings
        return [s.clips.face_rate, s.clips.face_side, s.faces.nsfw, s.tools.faces, s.tools.judge]

    def open(self) -> None:
        self.analyser, self.judge = self.work.tools.analyser(), self.work.tools.judge()

    def close(self) -> None:
        del self.analyser, self.judge

    def decide(self, atom: Atom) -> Outcome:
        row, settings = atom[0], self.work.settings
        frames = frames_of(self.work, row, row.frames)
        linker = Linker(max_gap=len(frames))
        seen = [self.analyser.find(frame) for frame in frames]
        for number, faces in enumerate(seen):
            linker.add(number, faces)
        main = linker.main()
        boxes = np.full((len(frames), 4), np.nan, np.float32)
        points = np.full((len(frames), 5, 2), np.nan, np.float32)
        second = np.zeros(len(frames), np.bool_)
        for number, face in main.faces.items() if main else ():
            boxes[number], points[number] = face.box, face.points
            second[number] = has_second_face(face, seen[number])
        if fault := filters.track_fault(boxes, second, settings.clips):
            return drop(row, fault)
        assert main is not None
        middle = frames[len(frames) // 2]
        if self.judge is not None and (shown := self.judge.score(middle)) >= settings.faces.nsfw:
            return drop(row, ("nsfw", round(shown, 4)))
        best = best_frames(boxes, points, 1)[0]
        note = FaceNote.of(main.faces[best])
        vector = self.analyser.embed(frames[best], note.face())
        track = f"tracks/{row.key}.npz"
        with whole(self.work.place(track)) as part:
            np.savez(part, boxes=boxes, points=points)
        identity = row.identity or row.key
        return Outcome((replace(row, face=note, vector=packed(vector), track=track, identity=identity),))


def best_frames(boxes: NDArray[np.float32], points: NDArray[np.float32], count: int) -> list[int]:
    """Up to `count` frames with large faces that look ahead, in order: the best of each equal part of the clip."""
    best = []
    for part in np.array_split(np.flatnonzero(~np.isnan(boxes[:, 0])), count):
        if len(part):
            worth = [
                filters.face_side(boxes[k]) * np.cos(np.radians(min(90.0, max(map(abs, filters.pose(points[k]))))))
                for k in part
            ]
            best.append(int(part[int(np.argmax(worth))]))
    return best


class Motion(Stage):
    """Neither still nor wild, by the mean flow at 240 lines."""

    name = "motion"
    filters: ClassVar[tuple[str, ...]] = ("still", "wild")

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        s = self.work.settings
        return [s.clips.least_flow, s.clips.most_flow, s.tools.flow]

    def open(self) -> None:
        self.flow = self.work.tools.flow()

    def close(self) -> None:
        del self.flow

    def decide(self, atom: Atom) -> Outcome:
        row, bounds = atom[0], self.work.settings.clips
        moved = filters.mean_flow(frames_of(self.work, row, row.frames), self.flow)
        if moved < bounds.least_flow:
            return drop(row, ("still", moved))
        if moved > bounds.most_flow:
            return drop(row, ("wild", moved))
        return Outcome((replace(row, facts={**row.facts, "flow": moved}),))


class ChooseReferences(Stage):
    """Pictures made of the clip's best frames, kept where the recogniser agrees; each is a picture to train on too."""

    name = "references"
    filters: ClassVar[tuple[str, ...]] = ("cosine", "no_reference")

    def __init__(self, work: Work) -> None:
        self.work = work

    def decides(self) -> object:
        s = self.work.settings
        if s.prompts is None:
            read_prompts(None)
        assert s.prompts is not None
        named = [s.tools.generator, s.tools.faces, s.clips.references, [s.height, s.width], s.seed]
        return [s.pairs.cosine, *named, sha256_file(s.prompts)]

    def open(self) -> None:
        tools = self.work.tools
        self.generator, self.analyser = tools.generator(), tools.analyser()
        self.pool = read_prompts(self.work.settings.prompts)

    def close(self) -> None:
        del self.generator, self.analyser, self.pool

    def decide(self, atom: Atom) -> Outcome:
        row, settings = atom[0], self.work.settings
        with np.load(self.work.place(row.track), allow_pickle=False) as held:
            boxes, points = held["boxes"], held["points"]
        best = best_frames(boxes, points, KEY_FRAMES)
        frames = frames_of(self.work, row, tuple(row.frames[k] for k in best))
        face = FaceNote(tuple(boxes[best[0]].tolist()), tuple(map(tuple, points[best[0]].tolist())), 1.0)
        key_frame = f"keys/{row.key}.png"
        save_picture(self.work.place(key_frame), frames[0])
        own = unpacked(row.vector)
        pictures: list[Candidate] = []
        dropped: list[Dropped] = []
        found = marked_word(row.caption)
        prompts = chosen(self.pool, row.key, settings.clips.references, settings.seed, found.word if found else "")
        for number, prompt in enumerate(prompts):
            key = f"{row.key}-{number}"
            seed = int(sha256(f"{settings.seed} {key}".encode())[:8], 16)
            made = self.generator.make(prompt, frames, (settings.height, settings.width), seed)
            place = f"made/{key}.png"
            save_picture(self.work.place(place), made)
            seen = detected(self.analyser, made)
            alike = filters.cosine(seen[1], own) if seen else 0.0
            if seen is None or not alike > settings.pairs.cosine:
                dropped.append(Dropped(key, "cosine", alike, place))
                continue
            source = ReferenceNote(key_frame, face, alike)
            made_row = Candidate(key, row.origin, place, "image", row.identity, (), prompt, facts=row.facts)
            pictures.append(replace(made_row, face=FaceNote.of(seen[0]), references=(source,)))
        if not pictures:
            return Outcome(dropped=(*dropped, Dropped(row.key, "no_reference", 0.0, row.file, row.frames[0])))
        notes = tuple(
            ReferenceNote(made.file, made.face, made.references[0].cosine) for made in pictures if made.face is not None
        )
        return Outcome((replace(row, references=notes), *pictures), tuple(dropped))


def stages(work: Work) -> list[Stage]:
    """Fetch, cut, track, motion, caption, references, encode: clips, and the made pictures beside them."""
    fetch = work.settings.fetch
    got: list[Stage] = [] if work.settings.input.is_dir() else [Fetch(work.folder, fetch, fetch.video_bytes)]
    seen: list[Stage] = [Shots(work), TrackFaces(work), Motion(work), Captions(work, no_text=False, looked_at=3)]
    return [List(work, videos=True), *got, *seen, ChooseReferences(work), Encode(work, "clip"), Encode(work, "image")]
