"""What a report made in its folder: only that is replaced or removed by a later one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.files import write_json

NAME = ".mmbench-report.json"

SIGNS = {
    "index.html": '<p class="kicker">Identity-preserved video generation</p>',
    "leaderboard.md": "| Model |",
    "leaderboard.csv": "kind,model,metric,state,mean",
    "leaderboard.tex": "% Needs \\usepackage{booktabs}",
    "leaderboard.json": '"schema": ',
    "comparisons.md": " against ",
    "clips.csv": '"id","model","identity","group"',
}
"""What every file of ours holds: reports of versions that left no marker are known by it."""


@dataclass(frozen=True)
class Marker:
    """Files of a report's folder, and the sha256 of everything in its media folder by name."""

    files: tuple[str, ...] = ()
    media: Mapping[str, str] = field(default_factory=dict)


def read_marker(folder: Path) -> Marker:
    """The marker of a report's folder; an empty one where there is none or it is damaged: then nothing is ours."""
    try:
        data = json.loads((folder / NAME).read_bytes())
        files = [str(name) for name in data["files"]]
        media = {str(name): str(digest) for name, digest in data["media"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Marker()
    return Marker(tuple(files), {name: digest for name, digest in media.items() if Path(name).name == name})


def write_marker(folder: Path, marker: Marker) -> None:
    """Say what the folder's report is made of."""
    document = {"files": sorted(marker.files), "media": dict(sorted(marker.media.items()))}
    write_json(folder / NAME, document)


def is_ours(path: Path, marker: Marker) -> bool:
    """Whether a report of ours wrote the file at `path`; a link never is."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.name in marker.files:
        return True
    sign = SIGNS.get(path.name)
    return sign is not None and sign in path.read_text(encoding="utf-8", errors="replace")


def refuse_foreign(folder: Path, names: Iterable[str], marker: Marker) -> None:
    """Raises ManifestError where a file to be written is there already and is somebody else's."""
    for name in names:
        path = folder / name
        if (path.exists() or path.is_symlink()) and not is_ours(path, marker):
            raise ManifestError(
                f"{path}: it is there already, and no report of mmbench wrote it.",
                "Name another folder (--out), or move that file away.",
            )
