"""What the face pass leaves behind: the main face of a clip over time, and the faces of its references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.face.types import Face
from mmbench.scores import Provenance

__all__ = ["SLOTS", "Face", "FaceTrack", "ReferenceFaces"]

SLOTS = 16
"""Number of sampled frames every identity metric looks at."""


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The main face of one clip: T analysed frames, one row each, and its embeddings at the 16 sampled slots.

    `frames` are the analysed frame indices, (T,) int64, rising. `usable`, `tiny`, `multi_face` are (T,) bool:
    the main track has a face here that is large enough to measure; it has one that is too small; there is a
    second face of at least half the main face's area. `second_face`, where it is known: there is another face of any
    size that is large enough to measure. `box`, `tight_box` (T, 4), `score` (T,), `points` (T,
    5, 2) and `points68` (T, 68, 2 or None) are float32 in pixels, NaN where the main track has no face; of a
    tiny face they are kept but not to be used.

    `notes` tell, as "kind: sentence.", what the choice of the main face leaves open.

    `slots` are (16,) int64, round(linspace(0, n_frames - 1, 16)); `slot_frames` (16,) int64 the frame that
    stands in for each (the nearest usable one within half a slot) or -1; `embeddings` (16, D) float32, raw
    (not normalised), are of those frames and NaN where missing; (16, 1) of NaN when no face was usable at
    all. `provenance` is what made the boxes and points, `embedding_provenance` what made the embeddings.
    """

    n_frames: int
    width: int
    height: int
    fps: float
    frames: NDArray[np.int64]
    usable: NDArray[np.bool_]
    tiny: NDArray[np.bool_]
    multi_face: NDArray[np.bool_]
    box: NDArray[np.float32]
    tight_box: NDArray[np.float32]
    score: NDArray[np.float32]
    points: NDArray[np.float32]
    points68: NDArray[np.float32] | None
    slots: NDArray[np.int64]
    slot_frames: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    provenance: Provenance
    embedding_provenance: Provenance
    second_face: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()

    def at(self, frames: Sequence[int] | NDArray[np.int64], tolerance: float) -> NDArray[np.int64]:
        """Rows (indices into T) of the nearest usable frames, -1 where none lies within `tolerance` frames.

        Of two equally near frames the earlier one is taken.
        """
        from mmbench.video.sample import nearest_within

        wanted = np.asarray(frames, dtype=np.int64)
        rows = np.flatnonzero(self.usable)
        nearest = nearest_within(self.frames[rows], wanted, tolerance)
        found = nearest >= 0
        result = np.full(wanted.shape, -1, dtype=np.int64)
        result[found] = rows[nearest[found]]
        return result


@dataclass(frozen=True, eq=False)
class ReferenceFaces:
    """The faces of R reference pictures of one identity, in pixels of each picture.

    `embeddings` (R, D) float32 raw; `points` (R, 5, 2), `box` and `tight_box` (R, 4), `points68` (R, 68, 2)
    or None. `provenance` is what made the embeddings, the detector included. `notes` tell, as "kind: sentence.", of
    pictures that may not show what was meant; `sizes` what lies in how the landmarks were measured. `mirrored` (R, D)
    are the embeddings of the same faces seen in a mirror, None where a backend's cuts are no pictures.
    """

    paths: tuple[Path, ...]
    embeddings: NDArray[np.float32]
    points: NDArray[np.float32]
    box: NDArray[np.float32]
    tight_box: NDArray[np.float32]
    points68: NDArray[np.float32] | None
    provenance: Provenance
    notes: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    mirrored: NDArray[np.float32] | None = None
