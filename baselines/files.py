"""Where a model's files lie below the weights folder, and what to say when they do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import MissingWeights

if TYPE_CHECKING:
    from mmbench.weights import WeightFile


def registered(*repos: str, under: str = "") -> tuple[WeightFile, ...]:
    """Entries of the shared registry that belong to the hub repositories `repos`, below the folder `under`."""
    from mmbench.weights.registry import registry

    return tuple(
        entry for repo in repos for entry in registry().values() if entry.repo == repo and entry.path.startswith(under)
    )


def repo_folder(weights_dir: Path, repo: str, files: tuple[WeightFile, ...]) -> Path:
    """Folder of a hub repository below `weights_dir`, once all of `files` are there.

    `files` are the registered ones; tiny weights have none, and then only the folder must exist. Raises MissingWeights.
    """
    require(weights_dir, files)
    folder = weights_dir / repo.replace("/", "--")
    if not folder.is_dir():
        raise MissingWeights(
            f"There is no folder {folder}.", "Run `mmbench weights list` for its files, or `make_tiny` for tiny ones."
        )
    return folder


def require(weights_dir: Path, files: tuple[WeightFile, ...]) -> None:
    """Raise MissingWeights naming every absent file with repository, size, licence, limits and the command."""
    absent = [entry for entry in files if not (weights_dir / entry.location).is_file()]
    if not absent:
        return
    lines = [
        f"  {entry.repo or entry.package} {entry.path}: {entry.size_text}, {entry.licence}"
        + (f" [{entry.limits}]" if entry.limits else "")
        for entry in absent
    ]
    raise MissingWeights(
        f"{len(absent)} of {len(files)} weight files are not in {weights_dir}:\n" + "\n".join(lines) + "\n",
        "Get them with: mmbench weights get " + " ".join(entry.name for entry in absent),
    )


def require_file(path: Path) -> Path:
    """`path`, or MissingWeights."""
    if not path.is_file():
        raise MissingWeights(f"There is no file {path}.", "`mmbench weights list` shows where it comes from.")
    return path
