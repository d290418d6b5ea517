"""What set metrics keep of each clip, in the run, so that re-scoring costs no decoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.files import sha256, whole
from mmbench.items import Item
from mmbench.metrics.base import StoredFeatures
from mmbench.score import Provenance


@dataclass(frozen=True)
class FeatureFault:
    """Why a set metric could keep nothing of a clip: its own fault, told when the set is scored."""

    item: Item
    reason: str
    remedy: str


def features_path(run: Path, metric: str, item: Item) -> Path:
    """Where a set metric's arrays of an item lie; ids may hold any character, so the name is a digest."""
    return run / "features" / metric / f"{sha256(item.id.encode(errors='surrogatepass'))[:24]}.npz"


def write_features(run: Path, metric: str, kept: StoredFeatures | FeatureFault) -> None:
    """Store arrays with what made them, or why there are none; whole or not at all."""
    path = features_path(run, metric, kept.item)
    arrays: dict[str, Any] = {}
    if isinstance(kept, FeatureFault):
        facts: dict[str, Any] = {"reason": kept.reason, "remedy": kept.remedy}
    else:
        facts = {"provenance": asdict(kept.provenance) if kept.provenance else None}
        arrays = {f"array/{name}": np.asarray(array) for name, array in kept.arrays.items()}
    with whole(path) as part:
        np.savez(part, facts=np.array(json.dumps(facts)), **arrays)


def read_features(run: Path, metric: str, item: Item) -> StoredFeatures | FeatureFault | None:
    """What a set metric kept of an item, why it could not, or None where it never looked."""
    path = features_path(run, metric, item)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as data:
        facts = json.loads(str(data["facts"]))
        if "reason" in facts:
            return FeatureFault(item, facts["reason"], facts["remedy"])
        arrays = {name.removeprefix("array/"): data[name] for name in data.files if name.startswith("array/")}
    made = facts["provenance"]
    return StoredFeatures(item, arrays, Provenance(**made) if made else None)


def kept_features(
    run: Path, metric: str, items: Sequence[Item]
) -> tuple[list[StoredFeatures], list[FeatureFault], list[Item]]:
    """Features of the items in their order, the faults, and the items of which nothing was kept."""
    found: list[StoredFeatures] = []
    faults: list[FeatureFault] = []
    absent: list[Item] = []
    for item in items:
        kept = read_features(run, metric, item)
        if kept is None:
            absent.append(item)
        elif isinstance(kept, FeatureFault):
            faults.append(kept)
        else:
            found.append(kept)
    return found, faults, absent
