"""Where a model's files lie below the weights folder, and what to say when they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import MissingWeights, WeightsError

if TYPE_CHECKING:
    from mmbench.weights import WeightFile


def registered(*repos: str, names: tuple[str, ...] = ()) -> tuple[WeightFile, ...]:
    """Entries of the shared registry that belong to the hub repositories `repos`, then those called `names`."""
    from mmbench.weights import find, registry

    of_repos = [entry for repo in repos for entry in registry().values() if entry.repo == repo]
    if lost := set(repos) - {entry.repo for entry in of_repos}:
        raise WeightsError(f"The registry of weights has no files of {', '.join(sorted(lost))}.", "Reinstall mmbench.")
    return (*of_repos, *(find(name) for name in names))


def repo_folder(weights_dir: Path, repo: str, files: tuple[WeightFile, ...]) -> Path:
    """Folder of a hub repository below `weights_dir`, once all of `files` are there and have the known digests.

    `files` are the registered ones; tiny weights have none, and then only the folder must exist. Raises
    MissingWeights, WeightsError.
    """
    require(weights_dir, files)
    folder = weights_dir / repo.replace("/", "--")
    if not folder.is_dir():
        raise MissingWeights(
            f"There is no folder {folder}.",
            "`mmbench weights list` shows a model's files; `make_tiny` makes tiny ones.",
        )
    require_shards(folder)
    return folder


def require(weights_dir: Path, files: tuple[WeightFile, ...]) -> None:
    """Check that every file is there, with its published size and digest, or those recorded when it was downloaded.

    Raises MissingWeights naming every absent file with repository, size, licence, limits and the command that gets
    it; WeightsError for a file of another size or digest.
    """
    from mmbench.weights.cache import read_record, verify

    absent = [entry for entry in files if not place_of(entry, weights_dir).is_file()]
    if absent:
        terms: dict[tuple[str, str, str], list[WeightFile]] = {}
        for entry in absent:
            terms.setdefault((entry.repo or entry.archive, entry.licence, entry.limits), []).append(entry)
        lines = [
            f"  {source} (licence: {licence}{f'; {limits}' if limits else ''}):\n    "
            + "\n    ".join(f"{entry.path or entry.location}, {entry.size_text}" for entry in entries)
            for (source, licence, limits), entries in terms.items()
        ]
        raise MissingWeights(
            f"{len(absent)} of {len(files)} weight files are not in {weights_dir}:\n" + "\n".join(lines) + "\n",
            "Get them: mmbench weights get " + " ".join(dict.fromkeys(short_name(entry) for entry in absent)),
        )
    for entry in files:
        path = place_of(entry, weights_dir)
        if entry.size is not None or entry.sha256 or entry.sha256_prefix or read_record(path):
            verify(path, entry, quick=True)


def digests(weights_dir: Path, files: tuple[WeightFile, ...]) -> list[dict[str, str]]:
    """Name, revision and sha256 of each of `files`, which are present.

    A digest is taken from the file's record where size and time are unchanged since; else the file is read, once.
    """
    from mmbench.weights.cache import verify
    from mmbench.weights.locate import name_in_use

    found = []
    for entry in files:
        path = place_of(entry, weights_dir)
        digest = verify(path, entry, quick=True)
        name = name_in_use(entry, path, digest)
        found.append({"name": name, "revision": entry.revision if entry.repo else "", "sha256": digest})
    return found


def short_name(entry: WeightFile) -> str:
    """What to ask for: the group of a generator's files, which `mmbench weights get` completes, else the file."""
    return entry.groups[-1] if "generators" in entry.groups else entry.name


def place_of(entry: WeightFile, weights_dir: Path) -> Path:
    """Where a registered file is: below `weights_dir`; in the cache, also the user's own or an archive's member."""
    from mmbench.weights import locate
    from mmbench.weights.cache import cache_dir

    path = weights_dir / entry.location
    if not path.is_file() and weights_dir == cache_dir():
        return locate(entry) or path
    return path


def file_of(name: str, weights_dir: Path) -> Path:
    """The registered file `name`, present and checked. Raises MissingWeights, WeightsError."""
    from mmbench.weights import find

    entry = find(name)
    require(weights_dir, (entry,))
    return place_of(entry, weights_dir)


def require_file(path: Path) -> Path:
    """`path`, or MissingWeights."""
    if not path.is_file():
        raise MissingWeights(f"There is no file {path}.", "`mmbench weights list` shows where it comes from.")
    return path


def require_shards(folder: Path) -> None:
    """Raise MissingWeights when an index of a sharded network names a file that is not there."""
    for index in sorted(folder.glob("*/*.safetensors.index.json")):
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lost := sorted(name for name in shards if not (index.parent / name).is_file()):
            raise MissingWeights(
                f"{index.parent} lacks {', '.join(lost)}, which {index.name} names.",
                "`mmbench weights list` shows the model's files.",
            )
