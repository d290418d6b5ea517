"""Faces of all references of a run, found once, before any clip is opened, and shared by all workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
    makers: Mapping[Path, Callable[[], FaceBackend]],
    progress: Progress,
) -> None:
    """Find the faces of every reference set and keep them in the files named (.npz), one for each backend.

    All backends share the detector of the first: nothing is detected twice. Sets that are there already are not
    redone, and without anything to do no backend is made. Raises ReferenceFaceError naming every reference without a
    usable face: an error of the set-up, not a NaN. A conditioning frame without a face is left out instead: only
    fm_ref_cond needs it.
    """
    kept = {file: load(file) if file.exists() else {} for file in makers}
    wanted = reference_sets(items)
    keys = {paths: _key(paths) for paths in wanted}
    todo = {paths for paths, key in keys.items() if any(key not in known for known in kept.values())}
    failures: list[ReferenceFaceError] = []
    backends = [make() for make in makers.values()] if todo else []
    for done, (paths, name) in enumerate(wanted.items(), start=1):
        if paths in todo:
            found = _find(paths, backends, failures, may_lack=name.endswith("(conditioning frame)"))
            for known, faces in zip(kept.values(), found, strict=False):
                known[keys[paths]] = faces
        progress(done, len(wanted), "references")
    if failures:
        raise ReferenceFaceError(" ".join(f.message for f in failures[:5]), failures[0].remedy)
    for file, known in kept.items():
        _save(file, {key: known[key] for key in keys.values() if key in known})


def _find(
    paths: tuple[Path, ...], backends: Sequence[FaceBackend], failures: list[ReferenceFaceError], may_lack: bool
) -> tuple[ReferenceFaces, ...]:
    """The faces of one set as each backend embeds them; none, with its error added to `failures`, where there is no
    face."""
    from mmbench.face.references import reference_faces_of

    try:
        return reference_faces_of(paths, backends[0], backends[1:])
    except ReferenceFaceError as cause:
        if not may_lack:
            failures.append(cause)
        return ()


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
