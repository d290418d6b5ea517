"""What set metrics keep of each clip, in the run, so that re-scoring costs no decoding."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.files import whole
from mmbench.items import Item
from mmbench.metrics.base import StoredFeatures
from mmbench.scores import Provenance


@dataclass(frozen=True)
class NoFeatures:
    """Why a set metric kept nothing of a clip, told when the set is scored: its own fault, or a lack of the machine."""

    item: Item
    reason: str
    remedy: str
    unmet: bool = False


def features_path(run: Path, metric: str, key: str) -> Path:
    """Where a set metric's arrays lie of what has this key: a clip, and all else that they are made of."""
    return run / "features" / metric / f"{key}.npz"


def write_features(path: Path, kept: StoredFeatures | NoFeatures) -> None:
    """Store arrays with what made them, or why there are none; whole or not at all."""
    arrays: dict[str, Any] = {}
    if isinstance(kept, NoFeatures):
        facts: dict[str, Any] = {"reason": kept.reason, "remedy": kept.remedy, "unmet": kept.unmet}
    else:
        facts = {"provenance": asdict(kept.provenance) if kept.provenance else None}
        arrays = {f"array/{name}": np.asarray(array) for name, array in kept.arrays.items()}
    with whole(path) as part:
        np.savez(part, facts=np.array(json.dumps(facts)), **arrays)


def read_features(path: Path, item: Item) -> StoredFeatures | NoFeatures | None:
    """What a set metric kept of an item, why it could not; None where it never looked or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            facts = json.loads(str(data["facts"]))
            if "reason" in facts:
                return NoFeatures(item, **facts)
            arrays = {name.removeprefix("array/"): data[name] for name in data.files if name.startswith("array/")}
            made = facts["provenance"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        path.unlink(missing_ok=True)
        return None
    return StoredFeatures(item, arrays, Provenance(**made) if made else None)
