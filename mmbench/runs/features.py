"""What set metrics need of each clip, kept in the run so that re-scoring costs no decoding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.items import Item
from mmbench.metrics.base import StoredFeatures


def features_path(run: Path, item: Item) -> Path:
    """Where an item's per-frame log-probabilities lie; ids may hold any character, so the name is a digest."""
    return run / "features" / f"{hashlib.sha256(item.id.encode()).hexdigest()[:24]}.npy"


def write_features(run: Path, item: Item, log_probs: NDArray[np.float32]) -> None:
    """Store (n_frames, 1008) float32 log-probabilities, whole or not at all."""
    path = features_path(run, item)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.part.npy")
    np.save(unfinished, log_probs, allow_pickle=False)
    unfinished.replace(path)


def read_features(run: Path, items: Sequence[Item]) -> list[StoredFeatures]:
    """Stored features of the items that have them, in the items' order, memory-mapped."""
    paths = ((item, features_path(run, item)) for item in items)
    return [
        StoredFeatures(item, np.load(path, mmap_mode="r", allow_pickle=False)) for item, path in paths if path.exists()
    ]
