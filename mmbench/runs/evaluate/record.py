"""The manifest of a run: what alone suffices to run it again, and what made its numbers."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmbench.config import EvaluateSettings, faults
from mmbench.errors import ManifestError
from mmbench.files import read_json, versions, write_json
from mmbench.items import Item
from mmbench.version import __version__

MANIFEST = "manifest.json"

# The distributions whose version can change a number.
LIBRARIES = ("av", "dlib-bin", "numpy", "opencv-python-headless", "open_clip_torch", "pillow", "torch", "torchvision")


@dataclass(frozen=True)
class RunManifest:
    """What was asked for, of which files, with which software. One `attempts` entry an invocation."""

    settings: EvaluateSettings
    items: tuple[Item, ...]
    settings_sha256: str
    mmbench_version: str = __version__
    attempts: tuple[dict[str, Any], ...] = ()
    weights: dict[str, str] = field(default_factory=dict)

    def save(self, run: Path) -> None:
        """Write `run/manifest.json`, whole or not at all. Paths inside are absolute."""
        data = {
            "mmbench_version": self.mmbench_version,
            "settings": self.settings.model_dump(mode="json"),
            "settings_sha256": self.settings_sha256,
            "weights": self.weights,
            "attempts": list(self.attempts),
            "items": [_item_json(item) for item in self.items],
        }
        write_json(run / MANIFEST, data)

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
            items=tuple(_item_from_json(item) for item in data["items"]),
            settings_sha256=data["settings_sha256"],
            mmbench_version=data["mmbench_version"],
            attempts=tuple(data["attempts"]),
            weights=data["weights"],
        )


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


def _item_json(item: Item) -> dict[str, Any]:
    data = asdict(item)
    data["video"] = str(item.video.absolute())
    data["references"] = [str(path.absolute()) for path in item.references]
    data["condition"] = str(item.condition.absolute()) if item.condition else None
    return data


def _item_from_json(data: dict[str, Any]) -> Item:
    paths = {
        "video": Path(data["video"]),
        "references": tuple(Path(path) for path in data["references"]),
        "condition": Path(data["condition"]) if data["condition"] else None,
    }
    return Item(**{**data, **paths})
