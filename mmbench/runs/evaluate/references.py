"""Faces of all references of a run, found once, before any clip is opened, and shared by all workers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ReferenceFaceError
from mmbench.files import Progress, whole
from mmbench.items import Item
from mmbench.score import Provenance

if TYPE_CHECKING:
    from mmbench.face.track import ReferenceFaces
    from mmbench.face.types import FaceBackend

ARRAYS = ("embeddings", "points", "box", "tight_box", "points68")


def reference_sets(items: Sequence[Item]) -> dict[tuple[Path, ...], str]:
    """Distinct sets of pictures to look at, with a name for messages: references, then conditioning frames."""
    sets = {item.references: item.identity for item in items if item.references}
    sets.update({(item.condition,): f"{item.id} (conditioning frame)" for item in items if item.condition})
    return sets


def prepare(
    items: Sequence[Item],
    backend: FaceBackend,
    path: Path,
    progress: Progress,
    also: Mapping[Path, FaceBackend] | None = None,
) -> None:
    """Find the faces of every reference set and keep them in `path` (.npz); sets already there are not redone.

    `also` names files for backends that share the detector of `backend`: nothing is detected twice.
    Raises ReferenceFaceError naming every reference without a usable face: an error of the set-up, not a NaN.
    A conditioning frame without a face is left out instead: only fm_ref_cond needs it.
    """
    from mmbench.face.references import reference_faces_of

    also = also or {}
    kept = {file: load(file) if file.exists() else {} for file in (path, *also)}
    wanted = reference_sets(items)
    failures = []
    for done, (paths, name) in enumerate(wanted.items(), start=1):
        key = _key(paths)
        if any(key not in known for known in kept.values()):
            try:
                faces = reference_faces_of(paths, backend, tuple(also.values()))
            except ReferenceFaceError as cause:
                if not name.endswith("(conditioning frame)"):
                    failures.append(cause)
            else:
                for known, found in zip(kept.values(), faces, strict=True):
                    known[key] = found
        progress(done, len(wanted), "references")
    if failures:
        raise ReferenceFaceError(" ".join(f.message for f in failures[:5]), failures[0].remedy)
    for file, known in kept.items():
        _save(file, {key: known[key] for key in map(_key, wanted) if key in known})


def load(path: Path) -> dict[str, ReferenceFaces]:
    """Reference faces by key (see `lookup`)."""
    from mmbench.face.track import ReferenceFaces

    with np.load(path, allow_pickle=False) as data:
        index = json.loads(str(data["index"]))
        found = {}
        for number, entry in enumerate(index):
            arrays: dict[str, Any] = {name: data.get(f"{number}/{name}") for name in ARRAYS}
            paths = tuple(Path(p) for p in entry["paths"])
            found[entry["key"]] = ReferenceFaces(paths, **arrays, provenance=Provenance(**entry["provenance"]))
    return found


def lookup(known: Mapping[str, ReferenceFaces], paths: tuple[Path, ...]) -> ReferenceFaces | None:
    """The faces of one set of pictures, None when nobody looked for them."""
    return known.get(_key(paths))


def _save(path: Path, known: Mapping[str, ReferenceFaces]) -> None:
    from dataclasses import asdict

    index: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for number, (key, faces) in enumerate(known.items()):
        index.append({"key": key, "paths": [str(p) for p in faces.paths], "provenance": asdict(faces.provenance)})
        for name in ARRAYS:
            array: NDArray[Any] | None = getattr(faces, name)
            if array is not None:
                arrays[f"{number}/{name}"] = array
    arrays["index"] = np.array(json.dumps(index))
    with whole(path) as part:
        np.savez(part, **arrays)


def _key(paths: tuple[Path, ...]) -> str:
    """Names the pictures by path, size and time of change, so an edited reference is looked at again."""
    stats = [(str(p.absolute()), p.stat().st_size, p.stat().st_mtime_ns) if p.exists() else (str(p),) for p in paths]
    return json.dumps(stats)
