"""Faces of all references of a run, found once, before any clip is opened, and shared by all workers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ReferenceFaceError
from mmbench.face.cache import UNREADABLE
from mmbench.files import Progress, content_of, sha256, whole
from mmbench.items import Item
from mmbench.remote.path import path_of
from mmbench.scores import Provenance

if TYPE_CHECKING:
    from mmbench.face.track import ReferenceFaces
    from mmbench.face.types import FaceBackend

CONDITION = "(conditioning frame)"
ARRAYS = ("embeddings", "points", "box", "tight_box", "points68", "mirrored")
LAYOUT = 2
"""Of the files: what an older version kept has no mirrored faces, and is found again."""


def reference_sets(items: Sequence[Item]) -> dict[tuple[Path, ...], str]:
    """Distinct sets of pictures to look at, with a name for messages: references, then conditioning frames."""
    sets = {item.references: item.identity for item in items if item.references}
    for item in items:
        if item.condition:
            sets.setdefault((item.condition,), f"{item.id} {CONDITION}")
    return sets


@dataclass(frozen=True)
class Shelf:
    """One backend's reference faces: the file they are kept in, what made them, and how that is made."""

    file: Path
    maker: str
    make: Callable[[], FaceBackend]


def prepare(items: Sequence[Item], shelves: Sequence[Shelf], progress: Progress) -> None:
    """Find the faces of every reference set and keep them in the files named (.npz), one for each backend.

    A set is known by its pictures' bytes. What another maker left in a file is found again, and a damaged file too,
    with a warning.

    All backends share the detector of the first: nothing is detected twice. Sets that are there already are not
    redone, and without anything to do no backend is made. Raises ReferenceFaceError naming every reference without a
    usable face: an error of the set-up, not a NaN. A conditioning frame without a face is left out instead: only
    fm_ref_cond needs it.
    """
    kept = {shelf.file: load(shelf.file, shelf.maker) for shelf in shelves}
    wanted = reference_sets(items)
    keys = {paths: key_of(paths) for paths in wanted}
    may_lack = {paths: name.endswith(CONDITION) for paths, name in wanted.items()}
    todo = {
        paths
        for paths, key in keys.items()
        if any(key not in known or (known[key] is None and not may_lack[paths]) for known in kept.values())
    }
    failures: list[ReferenceFaceError] = []
    backends = [shelf.make() for shelf in shelves] if todo else []
    for done, paths in enumerate(wanted, start=1):
        if paths in todo:
            found = _find(paths, backends, failures, may_lack[paths])
            for number, known in enumerate(kept.values()):
                known[keys[paths]] = found[number] if found else None
        progress(done, len(wanted), "references")
    if failures:
        raise ReferenceFaceError(" ".join(f.message for f in failures[:5]), failures[0].remedy)
    for shelf in shelves if todo else ():
        _save(shelf, {key: kept[shelf.file][key] for key in keys.values() if key in kept[shelf.file]})


def _find(
    paths: tuple[Path, ...], backends: Sequence[FaceBackend], failures: list[ReferenceFaceError], may_lack: bool
) -> tuple[ReferenceFaces, ...]:
    """The faces of one set by backend; none, with its error added to `failures`, where there is no face."""
    from mmbench.face.people.references import reference_faces_of

    try:
        return reference_faces_of(paths, backends[0], backends[1:])
    except ReferenceFaceError as cause:
        if not may_lack:
            failures.append(cause)
        return ()


def load(path: Path, maker: str | None = None) -> dict[str, ReferenceFaces | None]:
    """Reference faces by key (see `key_of`), None for pictures without a face.

    Nothing where there is no file, where it is damaged (with a warning), or where another than `maker` left it.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            index = json.loads(str(data["index"]))
            if not isinstance(index, dict):  # of a version that knew pictures by name
                return {}
            if maker is not None and index["maker"] != maker:
                return {}
            return {entry["key"]: _read(data, number, entry) for number, entry in enumerate(index["sets"])}
    except FileNotFoundError:
        return {}
    except UNREADABLE as cause:
        warnings.warn(f"{path}: damaged ({cause}); the reference faces are found again.", stacklevel=2)
        return {}


def key_of(paths: tuple[Path, ...]) -> str:
    """What tells one set of pictures from another: their bytes, in order, whatever they are called."""
    return sha256("".join(content_of(path) or str(path) for path in paths).encode(errors="surrogatepass"))


def keys_once() -> Callable[[tuple[Path, ...]], str]:
    """`key_of` that reads every set once."""
    known: dict[tuple[Path, ...], str] = {}

    def key(paths: tuple[Path, ...]) -> str:
        if paths not in known:
            known[paths] = key_of(paths)
        return known[paths]

    return key


def _read(data: Any, number: int, entry: Mapping[str, Any]) -> ReferenceFaces | None:
    from mmbench.face.track import ReferenceFaces

    if entry["provenance"] is None:
        return None
    arrays: dict[str, Any] = {name: data.get(f"{number}/{name}") for name in ARRAYS}
    if any(arrays[name] is None for name in ARRAYS[:4]):
        raise ValueError(f"set {number} lacks arrays")
    paths = tuple(path_of(path) for path in entry["paths"])
    arrays.update({name: tuple(entry.get(name, ())) for name in ("notes", "sizes")})
    return ReferenceFaces(paths, **arrays, provenance=Provenance(**entry["provenance"]))


def _save(shelf: Shelf, known: Mapping[str, ReferenceFaces | None]) -> None:
    from dataclasses import asdict

    sets: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for number, (key, faces) in enumerate(known.items()):
        if faces is None:
            sets.append({"key": key, "paths": [], "provenance": None})
            continue
        sets.append({"key": key, "paths": [str(p) for p in faces.paths], "provenance": asdict(faces.provenance)})
        sets[-1].update(notes=faces.notes, sizes=faces.sizes)
        for name in ARRAYS:
            array: NDArray[Any] | None = getattr(faces, name)
            if array is not None:
                arrays[f"{number}/{name}"] = array
    arrays["index"] = np.array(json.dumps({"maker": shelf.maker, "sets": sets}))
    with whole(shelf.file) as part:
        np.savez(part, **arrays)
