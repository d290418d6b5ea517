"""The face pass: every face metric's evidence from one look at the frames, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.face.select import Linker, Track, has_any_face, has_second_face, is_tiny, open_questions
from mmbench.face.track import SLOTS, FaceTrack
from mmbench.face.types import BatchedBackend, Face, FaceBackend, TwoStageBackend
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.sample import half_slot, nearest_within, sample_indices

Frames = Literal["all", "sampled"]

# Frames handed to a detector at once that does not say how many it takes. No result depends on it.
BATCH = 8

# Bytes of frames that wait for a detector: large frames come in smaller batches.
WAITING = 64 * 2**20

# Cuts kept for a slot, the heaviest tracks' first: bounds the memory of a crowd.
CHIPS_PER_SLOT = 8

# A face may be out of sight for this share of the clip before its track ends (and for this many frames at
# least). No time in seconds: the frame rate is only a claim, and tracks may not depend on it.
LONGEST_GAP = 0.25
LEAST_GAP = 3.0


@dataclass
class _Chip:
    """The cuts of one track, one a backend, that lie nearest to one slot so far."""

    frame: int
    distance: int
    pixels: list[NDArray[Any]]


class FacePass:
    """A `FramePass` that ends in a `FaceTrack`.

    `frames="all"` detects on every frame, "sampled" on the 16 slots alone (no per-frame motion, and no
    neighbour to stand in for a slot without a face). A two-stage backend runs its slow detector only on slots
    whose frame gave the fast one no face: at most 16 times a clip, whatever its length. Embeddings are
    computed for the frames that stand in for the 16 slots, once each: by the backend, and for the same
    faces by those in `also`, which share its detector (`finish_all`). `batch` None leaves the number of frames
    detected at once to the backend.
    """

    name = "face"

    def __init__(
        self,
        backend: FaceBackend,
        frames: Frames = "all",
        *,
        batch: int | None = None,
        also: Sequence[FaceBackend] = (),
    ) -> None:
        self.backend = backend
        self.backends: tuple[FaceBackend, ...] = (backend, *also)
        self.frames = frames
        self.batch = batch

    def start(self, clip: ClipInfo) -> None:
        """Forget everything and prepare for `clip`."""
        self._clip = clip
        self._slots = sample_indices(clip.n_frames, SLOTS)
        self._reach = half_slot(clip.n_frames, SLOTS)
        self._slot_set = {int(slot) for slot in self._slots}
        self._linker = Linker(max_gap=max(LEAST_GAP, LONGEST_GAP * clip.n_frames))
        self._seen: list[int] = []
        self._second: dict[int, list[Face]] = {}
        self._chips: list[dict[int, _Chip]] = [{} for _ in range(SLOTS)]
        self._waiting: list[tuple[int, Frame]] = []
        self._at_once = self.batch or self._backends_batch(clip)

    def feed(self, index: int, frame: Frame) -> None:
        """Take one frame; detection happens in batches."""
        if self.frames == "sampled" and index not in self._slot_set:
            return
        self._waiting.append((index, frame))
        if len(self._waiting) >= self._at_once:
            self._detect()

    def finish(self) -> FaceTrack:
        """Choose the main track, embed its slots: `finish_all` of a pass with one backend."""
        return self.finish_all()[0]

    def finish_all(self) -> tuple[FaceTrack, ...]:
        """Choose the main track and embed its slots.

        One track a backend; they differ in nothing but `embeddings` and their provenance.
        """
        self._detect()
        main = self._linker.main()
        rows = len(self._seen)
        frames = np.array(self._seen, dtype=np.int64)
        box = np.full((rows, 4), np.nan, np.float32)
        tight_box, score = box.copy(), np.full(rows, np.nan, np.float32)
        points = np.full((rows, 5, 2), np.nan, np.float32)
        points68: NDArray[np.float32] | None = None
        tiny, multi, second = np.zeros(rows, bool), np.zeros(rows, bool), np.zeros(rows, bool)
        for row, frame in enumerate(self._seen):
            if main is None or (face := main.faces.get(frame)) is None:
                continue
            box[row], tight_box[row] = face.box, face.tight_box
            score[row], points[row] = face.score, face.points
            if face.points68 is not None:
                if points68 is None:
                    points68 = np.full((rows, 68, 2), np.nan, np.float32)
                points68[row] = face.points68
            tiny[row] = is_tiny(face.box, self._clip.width, self._clip.height)
            multi[row] = has_second_face(face, self._second[frame])
            second[row] = has_any_face(face, self._second[frame], self._clip.width, self._clip.height)
        usable = ~np.isnan(score) & ~tiny
        slot_frames, embeddings = self._embed(main, frames[usable])
        track = FaceTrack(
            n_frames=self._clip.n_frames,
            width=self._clip.width,
            height=self._clip.height,
            fps=self._clip.fps,
            frames=frames,
            usable=usable,
            tiny=tiny,
            multi_face=multi,
            box=box,
            tight_box=tight_box,
            score=score,
            points=points,
            points68=points68,
            slots=self._slots,
            slot_frames=slot_frames,
            embeddings=embeddings[0],
            provenance=self.backend.provenance,
            embedding_provenance=self.backend.embedding_provenance,
            second_face=second,
            notes=open_questions(self._linker.tracks, main, self.frames == "sampled") if main else (),
        )
        others = zip(embeddings[1:], self.backends[1:], strict=True)
        return track, *(
            replace(track, embeddings=rows, embedding_provenance=other.embedding_provenance) for rows, other in others
        )

    def _backends_batch(self, clip: ClipInfo) -> int:
        if isinstance(self.backend, BatchedBackend):
            return self.backend.frames_at_once(clip.height, clip.width)
        return max(1, min(BATCH, WAITING // (3 * clip.height * clip.width)))

    def _detect(self) -> None:
        if not self._waiting:
            return
        indices = [index for index, _ in self._waiting]
        frames = [frame for _, frame in self._waiting]
        self._waiting = []
        if isinstance(self.backend, TwoStageBackend):
            found = self.backend.detect_fast(frames)
            for place, index in enumerate(indices):
                if index in self._slot_set and not found[place]:
                    found[place] = self.backend.detect_slow([frames[place]])[0]
        else:
            found = self.backend.detect(frames)
        for index, frame, faces in zip(indices, frames, found, strict=True):
            self._seen.append(index)
            self._second[index] = faces
            for face, track in zip(faces, self._linker.add(index, faces), strict=True):
                self._keep_chip(index, frame, face, track)

    def _keep_chip(self, index: int, frame: Frame, face: Face, track: Track) -> None:
        if is_tiny(face.box, self._clip.width, self._clip.height):
            return
        pixels: list[NDArray[Any]] = []
        for slot in np.flatnonzero(np.abs(self._slots - index) <= self._reach).tolist():
            kept = self._chips[slot]
            distance = abs(int(self._slots[slot]) - index)
            if track.number in kept and kept[track.number].distance <= distance:
                continue
            pixels = pixels or [backend.chip(frame, face) for backend in self.backends]
            kept[track.number] = _Chip(index, distance, pixels)
            if len(kept) > CHIPS_PER_SLOT:
                del kept[min(kept, key=lambda number: (self._linker.tracks[number].weight, -number))]

    def _embed(
        self, main: Track | None, usable: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """The frames that stand in for the slots, and the embeddings there by each backend."""
        slot_frames = np.full(SLOTS, -1, dtype=np.int64)
        chips: dict[int, list[NDArray[Any]]] = {}
        for slot, row in enumerate(nearest_within(usable, self._slots, self._reach)):
            chip = self._chips[slot].get(main.number) if main is not None and row >= 0 else None
            if chip is not None and chip.frame == usable[row]:
                slot_frames[slot] = chip.frame
                chips[chip.frame] = chip.pixels
        if not chips:
            return slot_frames, [np.full((SLOTS, 1), np.nan, np.float32) for _ in self.backends]
        order = sorted(chips)
        present = slot_frames >= 0
        found = []
        for number, backend in enumerate(self.backends):
            vectors = backend.embed(np.stack([chips[frame][number] for frame in order]))
            embeddings = np.full((SLOTS, vectors.shape[1]), np.nan, np.float32)
            embeddings[present] = vectors[np.searchsorted(order, slot_frames[present])]
            found.append(embeddings)
        return slot_frames, found
