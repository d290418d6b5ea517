"""Which of the detected faces is the clip's face: linking over time, the main track, tiny and second faces.

The rules never look at identity: choosing the face most like the reference would
inflate the identity column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmbench.face.geometry import Array, area, iou, width
from mmbench.face.types import Face

LINK_IOU = 0.3
TINY_PIXELS = 32
TINY_SHARE = 0.04
SECOND_FACE_AREA = 0.5

# Share of the main track's weight (beside it) or frames (before and after it) from which another one could have been
# meant.
PROMINENT = 0.25

JOINED = "Faces are not joined over long gaps or jumps."
JOINED_SAMPLED = (
    "Sampled frames are joined by overlap, so a face that moves or grows fast is lost: face: {frames: all} finds more."
)


@dataclass
class Track:
    """One face over time. `weight` is the sum of (area x score); `faces` maps a frame index to its
    detection."""

    number: int
    weight: float = 0.0
    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def last_frame(self) -> int:
        """Newest frame in which the face was seen."""
        return next(reversed(self.faces))


class Linker:
    """Joins detections to tracks frame by frame: IoU of at least 0.3 with a track's newest box, best pairs first.

    A track that was not seen for more than `max_gap` frames takes nothing any more. Feed frames in rising
    order.
    """

    def __init__(self, max_gap: float) -> None:
        self.max_gap = max_gap
        self.tracks: list[Track] = []
        self._open: list[Track] = []

    def add(self, frame: int, faces: Sequence[Face]) -> list[Track]:
        """The track of each face, new ones included, in the order of `faces`."""
        self._open = [track for track in self._open if frame - track.last_frame <= self.max_gap]
        owners = self._match(faces)
        for position, face in enumerate(faces):
            if position not in owners:
                owners[position] = Track(len(self.tracks))
                self.tracks.append(owners[position])
                self._open.append(owners[position])
            owner = owners[position]
            owner.faces[frame] = face
            owner.weight += float(area(face.box)) * max(face.score, 0.0)
        return [owners[position] for position in range(len(faces))]

    def main(self) -> Track | None:
        """The track with the largest weight, the earliest of equal ones; None when no face was ever seen."""
        return max(self.tracks, key=lambda track: (track.weight, -track.number), default=None)

    def _match(self, faces: Sequence[Face]) -> dict[int, Track]:
        if not faces or not self._open:
            return {}
        last = np.stack([track.faces[track.last_frame].box for track in self._open])
        overlap = iou(np.stack([face.box for face in faces]), last)
        owners: dict[int, Track] = {}
        taken: set[int] = set()
        for flat in np.argsort(-overlap, axis=None, kind="stable"):
            face, track = divmod(int(flat), len(self._open))
            if overlap[face, track] < LINK_IOU:
                break
            if face not in owners and track not in taken:
                owners[face] = self._open[track]
                taken.add(track)
        return owners


def has_any_face(main: Face, faces: Sequence[Face], frame_width: int, frame_height: int) -> bool:
    """Whether another of the frame's faces is large enough to measure, whatever its size beside the main face."""
    return any(face is not main and not is_tiny(face.box, frame_width, frame_height) for face in faces)


def open_questions(tracks: Sequence[Track], main: Track, sampled: bool) -> tuple[str, ...]:
    """What the choice of `main` among the tracks leaves open, each "kind: sentence.".

    Small and short tracks are not asked about.

    The rules do not look at identity, so a face that comes back after a gap is not joined to the one that left, and of
    two people the larger one counts.
    """
    found = []
    first, last = next(iter(main.faces)), main.last_frame
    others = [track for track in tracks if track is not main]
    apart = [track for track in others if next(iter(track.faces)) > last or track.last_frame < first]
    beside = [track for track in others if track not in apart and track.weight >= PROMINENT * main.weight]
    apart = [track for track in apart if len(track.faces) >= PROMINENT * len(main.faces)]
    if apart:
        spans = ", ".join(f"{next(iter(track.faces))}-{track.last_frame}" for track in apart[:3])
        found.append(
            f"reappearance: the main face is measured in frames {first}-{last} alone; it, or another, is seen in "
            f"frames {spans} too. {JOINED_SAMPLED if sampled else JOINED}"
        )
    if beside:
        share = max(track.weight for track in beside) / main.weight
        found.append(
            f"two_people: another face has {share:.0%} of the main face's size and duration; the larger one is "
            "measured, whoever it is."
        )
    return tuple(found)


def is_tiny(box: Array, frame_width: int, frame_height: int) -> bool:
    """A face narrower than 32 px or 4 % of the frame's short side: too small for landmarks and embeddings."""
    return bool(width(box) < max(TINY_PIXELS, TINY_SHARE * min(frame_width, frame_height)))


def has_second_face(main: Face, faces: Sequence[Face]) -> bool:
    """Whether another of the frame's faces has at least half the main face's area."""
    least = SECOND_FACE_AREA * area(main.box)
    return any(face is not main and area(face.box) >= least for face in faces)
