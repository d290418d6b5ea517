"""Where a weight file is: the user's own, an installed package's, or in the cache; nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmbench.errors import MissingWeights, MMBenchError
from mmbench.weights.cache import cached_file, check_digest, sha256_of, user_paths, write_record
from mmbench.weights.registry import WeightFile, find


def locate(name: str | WeightFile) -> Path | None:
    """The file, or None where it is not on this machine. A member is unpacked when its archive is here."""
    entry = find(name)
    if mine := user_paths().get(entry.name):
        if not Path(mine).is_file():
            raise MissingWeights(
                f"{mine}, your own file for {entry.name}, is gone.",
                f"Put it back, or forget it by `mmbench weights path {entry.name} --forget`.",
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


def is_user_file(name: str | WeightFile) -> bool:
    """Whether a file of the user's replaces `name`; it is not checked against the published digest."""
    return find(name).name in user_paths()


def missing(entry: WeightFile) -> MissingWeights:
    """The error that says what lacks, how large it is, under which licence, and which command gets it."""
    if entry.package:
        return MissingWeights(
            f"{entry.location} is not installed.",
            f"Install it: pip install {entry.package.replace('_', '-')}.",
        )
    where = entry.repo or (entry.archive and f"archive {entry.archive}") or entry.urls[0].split("/")[2]
    limits = f"; {entry.limits}" if entry.limits else ""
    return MissingWeights(
        f"Weights {entry.name} are missing: {entry.path or entry.location} from {where}, {entry.size_text}, "
        f"licence {entry.licence}{limits}.",
        f"Get them: mmbench weights get {entry.name}. "
        f"Or use your own file: mmbench weights path {entry.name} --use FILE.",
    )


def unpack(entry: WeightFile, archive: Path) -> Path:
    """Take `entry` out of its archive into the cache. Raises WeightsError; a wrong file is not kept."""
    from mmbench.weights.archive import extract_member

    target = cached_file(entry)
    extract_member(archive, entry.member, target, entry.max_bytes)
    digest = sha256_of(target)
    try:
        check_digest(digest, entry, f"{entry.member} in {archive}")
    except MMBenchError:
        target.unlink()
        raise
    write_record(target, digest, f"{archive.name}:{entry.member}", trust_of(entry))
    return target


def trust_of(entry: WeightFile) -> str:
    """The `trust` of a record for a file of this entry that has passed `check_digest`."""
    if entry.sha256:
        return "published"
    return "prefix" if entry.sha256_prefix else "first use"


def _in_package(entry: WeightFile) -> Path | None:
    # the package is located, not imported: its import needs pkg_resources, which current setuptools lacks
    spec = importlib.util.find_spec(entry.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(next(iter(spec.submodule_search_locations))) / entry.path
    return file if file.is_file() else None
