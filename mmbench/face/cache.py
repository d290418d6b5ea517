"""Face passes kept on disk: scoring a clip again, with other metrics or definitions, detects nothing twice."""

from __future__ import annotations

import json
import warnings
import zipfile
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.face.face_pass import Frames
from mmbench.face.track import FaceTrack
from mmbench.face.types import VERSION, FaceBackend
from mmbench.files import installed_version, sha256, whole
from mmbench.scores import Provenance
from mmbench.video.clip import VERSION as READING
from mmbench.video.clip import ClipInfo

ARRAYS = (
    "frames",
    "usable",
    "tiny",
    "multi_face",
    "box",
    "tight_box",
    "score",
    "points",
    "slots",
    "slot_frames",
    "embeddings",
)
MAYBE = ("points68", "second_face")
PROVENANCES = ("provenance", "embedding_provenance")


# What the zip, array and JSON readers raise on bytes that are not theirs.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,  # a flag that says "encrypted", a compression that is none
)


class FaceCache:
    """One backend's tracks in a folder, one .npz a clip.

    A file is named by the clip's content, the backend with the digests of its weights and its libraries'
    versions, the frames it looked at and `VERSION`; where one of them changes, another file is meant. Arrays
    only, never pickled objects. A file that is damaged counts as absent and is written anew.
    """

    def __init__(self, folder: Path | str, backend: FaceBackend, frames: Frames = "all") -> None:
        self.folder = Path(folder)
        self._warned = False
        self._maker = {
            "version": VERSION,
            "reading": READING,
            "backend": backend.name,
            "provenance": asdict(backend.provenance),
            "embedding_provenance": asdict(backend.embedding_provenance),
            "frames": frames,
            "decoder": installed_version("av"),
        }

    def path(self, clip: ClipInfo) -> Path:
        """Where the track of a clip is, or would be."""
        key = json.dumps({**self._maker, "content": clip.seen}, sort_keys=True)
        name = sha256(key.encode())
        return self.folder / name[:2] / f"{name}.npz"

    def get(self, clip: ClipInfo) -> FaceTrack | None:
        """The clip's track with the clip's frame rate, or None where it is not kept."""
        try:
            track = read_track(self.path(clip))
        except (OSError, DamagedTrack):
            return None
        return replace(track, fps=clip.fps)

    def put(self, clip: ClipInfo, track: FaceTrack) -> None:
        """Keep a track; the file appears when it is complete, whoever else writes the same one.

        Where nothing can be written (a full disk, a folder of somebody else) nothing is kept, with one warning.
        """
        try:
            write_track(self.path(clip), track)
        except OSError as cause:
            if not self._warned:
                self._warned = True
                why = cause.strerror or cause
                warnings.warn(f"{self.folder}: faces are not kept for later runs: {why}.", stacklevel=2)


class DamagedTrack(ValueError):
    """A file that does not hold a track."""


def write_track(path: Path, track: FaceTrack) -> None:
    """Write a track as .npz in one step."""
    facts: dict[str, Any] = {name: getattr(track, name) for name in ("n_frames", "width", "height", "fps", "notes")}
    arrays: dict[str, Any] = {name: getattr(track, name) for name in ARRAYS}
    for name in MAYBE:
        if getattr(track, name) is not None:
            arrays[name] = getattr(track, name)
    facts.update({name: asdict(getattr(track, name)) for name in PROVENANCES})
    header = json.dumps(facts)
    with whole(path) as part:
        np.savez(part, header=np.array(header), **arrays)


def read_track(path: Path) -> FaceTrack:
    """Inverse of `write_track`. Raises FileNotFoundError, or DamagedTrack for anything but a whole track."""
    try:
        with np.load(path, allow_pickle=False) as data:
            header = json.loads(str(data["header"]))
            arrays = {name: data[name] for name in ARRAYS}
            arrays.update({name: data[name] for name in MAYBE if name in data.files})
        header.update({name: Provenance(**header[name]) for name in PROVENANCES})
        header["notes"] = tuple(header.get("notes", ()))
        track = FaceTrack(**{"points68": None, **header, **arrays})
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise DamagedTrack(f"{path}: {error}") from error
    rows = len(track.frames)
    if any(len(getattr(track, name)) != rows for name in ARRAYS[:8]) or len(track.slots) != len(track.embeddings):
        raise DamagedTrack(f"{path}: its arrays do not fit together")
    return track
