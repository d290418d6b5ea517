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
    """Joins detections to tracks frame by frame: IoU of at least 0.3 with a track's newest box, best pairs
    first.

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


def is_tiny(box: Array, frame_width: int, frame_height: int) -> bool:
    """A face narrower than 32 px or 4 % of the frame's short side: too small for landmarks and embeddings."""
    return bool(width(box) < max(TINY_PIXELS, TINY_SHARE * min(frame_width, frame_height)))


def has_second_face(main: Face, faces: Sequence[Face]) -> bool:
    """Whether another of the frame's faces has at least half the main face's area."""
    least = SECOND_FACE_AREA * area(main.box)
    return any(face is not main and area(face.box) >= least for face in faces)
