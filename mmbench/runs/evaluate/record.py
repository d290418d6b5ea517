"""The manifest of a run: what alone suffices to run it again, and what made its numbers."""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmbench.config import EvaluateSettings, faults
from mmbench.errors import ManifestError
from mmbench.files import read_json, versions, write_text
from mmbench.items import Item
from mmbench.remote.path import path_of
from mmbench.runs.evaluate.rows import item_dict
from mmbench.version import __version__

MANIFEST = "manifest.json"

# The distributions whose version can change a number.
LIBRARIES = ("av", "dlib-bin", "numpy", "opencv-python-headless", "open_clip_torch", "pillow", "torch", "torchvision")


@dataclass(frozen=True)
class RunManifest:
    """What was asked for, of which files, with which software. One `attempts` entry an invocation.

    `parts` are the numbers of items that came by different commands: those of the first come first.
    """

    settings: EvaluateSettings
    items: tuple[Item, ...]
    settings_sha256: str
    mmbench_version: str = __version__
    attempts: tuple[dict[str, Any], ...] = ()
    weights: dict[str, str] = field(default_factory=dict)
    parts: tuple[int, ...] = ()

    def save(self, run: Path) -> None:
        """Write `run/manifest.json`, whole or not at all. Paths inside are absolute."""
        data = {
            "mmbench_version": self.mmbench_version,
            "settings": self.settings.model_dump(mode="json"),
            "settings_sha256": self.settings_sha256,
            "weights": self.weights,
            "attempts": list(self.attempts),
            "parts": list(self.parts),
        }
        head = json.dumps(data, indent=1, allow_nan=False).removesuffix("\n}")
        # An item a line: written and read in a tenth of the time that an indented one takes.
        items = ",\n".join(json.dumps(item_json(item), allow_nan=False) for item in self.items)
        write_text(run / MANIFEST, f'{head},\n "items": [\n{items}\n ]\n}}\n')

    @classmethod
    def load(cls, run: Path) -> RunManifest:
        """Read a run's manifest. Raises ManifestError when `run` is not a run."""
        try:
            data = read_json(run / MANIFEST, "Evaluate into another folder.")
        except FileNotFoundError as cause:
            raise ManifestError(f"{run}: not a run (no {MANIFEST}).", "Name the folder `evaluate` wrote.") from cause
        try:
            settings = EvaluateSettings.model_validate(data["settings"])
        except ValidationError as cause:
            said = f"{run / MANIFEST}: was begun by version {data['mmbench_version']} with other settings"
            raise ManifestError(f"{said}: {faults(cause)}.", "Use that version, or another folder.") from cause
        return cls(
            settings=settings,
            items=tuple(item_from_json(item) for item in data["items"]),
            settings_sha256=data["settings_sha256"],
            mmbench_version=data["mmbench_version"],
            attempts=tuple(data["attempts"]),
            weights=data["weights"],
            parts=tuple(data.get("parts", ())),
        )


def read_record(run: Path) -> dict[str, Any]:
    """A run's record as it was written; empty where there is none, and with a warning where it is damaged.

    Rows hold without it: what is asked of a run is then known from its rows, and the next `evaluate` writes it anew.
    """
    path = run / MANIFEST
    try:
        data = read_json(path)
        if not isinstance(data, dict) or not all(isinstance(data[key], list) for key in ("items", "attempts")):
            raise ManifestError(f"{path}: damaged, it is no record.")
        data["items"] = [item for item in data["items"] if isinstance(item["id"], str)]
    except FileNotFoundError:
        return {}
    except (ManifestError, KeyError, TypeError) as cause:
        why = cause.message if isinstance(cause, ManifestError) else f"{path}: damaged, it is no record."
        warnings.warn(f"{why} It is made anew from the rows.", stacklevel=2)
        return {}
    return data


def named_items(run: Path) -> frozenset[str] | None:
    """Ids of the clips that a run's record names, None where there is no record that can be read."""
    return frozenset(item["id"] for item in data["items"]) if (data := read_record(run)) else None


def recorded_items(data: dict[str, Any]) -> list[list[Item]]:
    """The items of a record (`read_record`), those of one command together."""
    items = [item_from_json(item) for item in data.get("items", ())]
    counts = data.get("parts") or [len(items)]
    if sum(counts) != len(items):
        counts = [len(items)]
    ends = [sum(counts[: n + 1]) for n in range(len(counts))]
    return [items[end - count : end] for count, end in zip(counts, ends, strict=True) if count]


def attempt_facts(notes: Sequence[str] = ()) -> dict[str, Any]:
    """Command, time, machine and library versions of this invocation, and what it was told to note of its inputs."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": library_versions(),
        "notes": list(notes),
    }


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a number."""
    return versions(LIBRARIES)


def item_json(item: Item) -> dict[str, Any]:
    """An item as a record holds it, with absolute paths."""
    data = item_dict(item)
    for name in ("references", "shown"):
        data[name] = [_absolute(path) for path in data[name]]
    for name in ("video", "condition"):
        data[name] = data[name] and _absolute(data[name])
    return data


def _absolute(path: str) -> str:
    return path if path.startswith("/") else str(path_of(path).absolute())


def item_from_json(data: dict[str, Any]) -> Item:
    """The item of one entry of a record."""
    paths = {
        "video": path_of(data["video"]),
        "references": tuple(path_of(path) for path in data["references"]),
        "shown": tuple(path_of(path) for path in data.get("shown", ())),
        "condition": path_of(data["condition"]) if data["condition"] else None,
        "conditioned_on": tuple(data.get("conditioned_on", ())),
    }
    return Item(**{**data, **paths})
