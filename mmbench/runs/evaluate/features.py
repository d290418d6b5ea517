"""What set metrics need of each clip, kept in the run so that re-scoring costs no decoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.files import sha256, whole
from mmbench.items import Item
from mmbench.metrics.base import StoredFeatures
from mmbench.score import Provenance


def features_path(run: Path, item: Item) -> Path:
    """Where an item's per-frame log-probabilities lie; ids may hold any character, so the name is a digest."""
    return run / "features" / f"{sha256(item.id.encode())[:24]}.npz"


def write_features(run: Path, item: Item, log_probs: NDArray[np.float32], provenance: Provenance) -> None:
    """Store (n_frames, 1008) float32 log-probabilities with what made them, whole or not at all."""
    path = features_path(run, item)
    with whole(path) as part:
        np.savez(part, log_probs=log_probs, provenance=np.array(json.dumps(asdict(provenance))))


def read_features(run: Path, items: Sequence[Item]) -> list[StoredFeatures]:
    """Stored features of the items that have them, in the items' order."""
    found = []
    for item in items:
        if (path := features_path(run, item)).exists():
            with np.load(path, allow_pickle=False) as data:
                provenance = Provenance(**json.loads(str(data["provenance"])))
                found.append(StoredFeatures(item, data["log_probs"], provenance))
    return found
