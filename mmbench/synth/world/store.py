"""The nano world on disk: one npz file a block of 35 people, rendered side by side and continued after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.engine.pool import run_tasks
from mmbench.errors import RequestError
from mmbench.files import Progress, whole
from mmbench.synth.identity import GROUPS, parse_name
from mmbench.synth.kit import load_kit
from mmbench.synth.world.people import Split, blocks, people_of, render_person

Block = tuple[Path, tuple[str, ...]]
"""A file and whom it holds."""
FIELDS = ("frames", "five", "actions", "shirts")


@dataclass(frozen=True)
class World:
    """People of a split in memory; arrays as in `WorldPerson` with people first.

    `frames` (P, 24, 64, 64, 4) uint8, `five` (P, 24, 5, 2) float32, `actions` (P, 2), `shirts` (P, 8), `groups` (P,)
    into `GROUPS`.
    """

    names: tuple[str, ...]
    frames: NDArray[np.uint8]
    five: NDArray[np.float32]
    actions: NDArray[np.uint8]
    shirts: NDArray[np.uint8]

    @property
    def groups(self) -> NDArray[np.int64]:
        return np.array([GROUPS.index(parse_name(name)[0]) for name in self.names])


def render_world(
    out: Path,
    split: Split,
    count: int,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Render the first `count` people of a split into `out`; files that are there are kept. Returns the files.

    Raises KitError without the face kit.
    """
    load_kit()  # a missing kit is one clear error here, not one a worker
    todo = [(out / f"{split}_{number:04d}.npz", tuple(names)) for number, names in blocks(people_of(split, count))]
    left = [(path, names) for path, names in todo if _names(path) != names]
    total = sum(len(names) for _, names in todo)
    done = total - sum(len(names) for _, names in left)

    def tell(block: Block, rendered: int) -> None:
        nonlocal done
        done += rendered
        if progress is not None:
            progress(done, total, "people")

    run_tasks(left, _renderer, workers=workers, on_result=tell, name=lambda block: block[0].name)
    return [path for path, _ in todo]


@contextmanager
def _renderer(number: int) -> Iterator[Callable[[Block], int]]:
    yield _render_block


def _names(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        return tuple(str(name) for name in file["names"])


def _render_block(block: Block) -> int:
    path, names = block
    kit = load_kit()
    people = [render_person(kit, name) for name in names]
    arrays = {field: np.stack([getattr(person, field) for person in people]) for field in FIELDS}
    with whole(path) as part:
        np.savez_compressed(part, allow_pickle=False, names=np.array(names), **arrays)
    return len(names)


def load_world(folder: Path, split: Split, limit: int | None = None) -> World:
    """The rendered people of a split, all or the first `limit`. Raises RequestError when there are none."""
    files = sorted(folder.glob(f"{split}_*.npz"))
    names: list[str] = []
    parts: dict[str, list[NDArray[np.generic]]] = {field: [] for field in FIELDS}
    for path in files:
        with np.load(path, allow_pickle=False) as file:
            names += [str(name) for name in file["names"]]
            for field in FIELDS:
                parts[field].append(file[field])
        if limit is not None and len(names) >= limit:
            break
    if not names:
        raise RequestError(
            f"{folder} holds no people of the split {split!r}.", f"Render them: mmbench nano world --out {folder}."
        )
    whole = {field: np.concatenate(arrays)[:limit] for field, arrays in parts.items()}
    return World(tuple(names[:limit]), **whole)
