"""Where a weight file is: the user's own, an installed package's, or in the cache; nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from mmbench.errors import MissingWeights
from mmbench.weights.arrive import unpack
from mmbench.weights.cache import cached_file, is_published, user_paths
from mmbench.weights.registry import WeightFile, complete_group, find

RETRY = "A finished run keeps its missing numbers until `mmbench evaluate ... --retry`."


def locate(name: str | WeightFile) -> Path | None:
    """The file, or None where it is not on this machine. A member is unpacked when its archive is here.

    Raises MissingWeights where the user's own file for it is gone: another must not silently take its place.
    """
    entry = find(name)
    if mine := user_paths().get(entry.name):
        if not Path(mine).is_file():
            raise MissingWeights(
                f"Own file missing: {mine}, which you put in place of {entry.name}.",
                f"Put it back, or use the registered file again: `mmbench weights path {entry.name} --forget`. {RETRY}",
            )
        return Path(mine)
    if entry.package:
        return _in_package(entry)
    if (cached := cached_file(entry)).is_file():
        return cached
    if entry.archive and (archive := locate(entry.archive)) is not None:
        return unpack(entry, archive)
    return None


def path(name: str | WeightFile) -> Path:
    """Like `locate`, but raises MissingWeights: file, size, licence, limits and the command that gets it."""
    entry = find(name)
    found = locate(entry)
    if found is None:
        raise missing(entry)
    return found


def first_of(*names: str) -> tuple[str, Path]:
    """The first of several interchangeable files that is here, with its name.

    Raises MissingWeights for the first name when none is.
    """
    for name in names:
        if (found := locate(name)) is not None:
            return name, found
    others = f" ({' or '.join(names[1:])} would do as well)" if len(names) > 1 else ""
    lack = missing(find(names[0]))
    raise MissingWeights(lack.message.rstrip(".") + f"{others}.", lack.remedy)


def all_of(names: Sequence[str], group: str) -> tuple[Path, ...]:
    """The files of a column that is made by several networks, in order.

    Raises MissingWeights that names all that are missing, and the command that gets the whole group of the registry.
    """
    found = [locate(name) for name in names]
    lacking = [missing(find(name)) for name, file in zip(names, found, strict=True) if file is None]
    if len(lacking) == 1:
        raise lacking[0]
    if lacking:
        remedy = f"Get them: mmbench weights get {group}. Or yours: mmbench weights path NAME --use FILE. {RETRY}"
        raise MissingWeights(" ".join(lack.message for lack in lacking), remedy)
    return tuple(file for file in found if file is not None)


def is_user_file(name: str | WeightFile) -> bool:
    """Whether a file of the user's replaces `name`; it is not checked against the published digest."""
    return find(name).name in user_paths()


def name_in_use(entry: WeightFile, file: Path, digest: str, registered: str = "") -> str:
    """What the provenance of a number calls the file it was made with: `registered` (the entry's name by default).

    The user's own file in its place is marked as such, unless its bytes are the published ones; a file of which no
    digest is published, as not checked.
    """
    name = registered or entry.name
    if is_user_file(entry) and not is_published(digest, entry):
        return f"{name} (own file {file.name})"
    return name if entry.is_checked or entry.package else f"{name} (not checked)"


def missing(entry: WeightFile) -> MissingWeights:
    """The error that says what lacks, how large it is, under which licence, and which command gets it."""
    if entry.package:
        return MissingWeights(
            f"{entry.location} is not installed.",
            f"Install it: pip install {entry.package.replace('_', '-')}. {RETRY}",
        )
    where = entry.repo or (entry.archive and f"archive {entry.archive}") or entry.urls[0].split("/")[2]
    limits = f"; {entry.limits}" if entry.limits else ""
    return MissingWeights(
        f"Weights {entry.name} are missing: {entry.path or entry.location} from {where}, {entry.size_text}, "
        f"licence {entry.licence}{limits}.",
        f"Get them: mmbench weights get {complete_group(entry)}. "
        f"Or use your own file: mmbench weights path {entry.name} --use FILE. {RETRY}",
    )


def _in_package(entry: WeightFile) -> Path | None:
    # the package is located, not imported: its import needs pkg_resources, which current setuptools lacks
    spec = importlib.util.find_spec(entry.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(next(iter(spec.submodule_search_locations))) / entry.path
    return file if file.is_file() else None
