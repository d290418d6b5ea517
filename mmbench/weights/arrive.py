"""How a file gets into the cache: beside its place, checked there, then put in it in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmbench.errors import WeightsError
from mmbench.files import beside, settle, sha256_file
from mmbench.weights.archive import extract_member
from mmbench.weights.cache import cached_file, check_digest, is_published, write_record
from mmbench.weights.content import strange
from mmbench.weights.http import Announced
from mmbench.weights.registry import WeightFile


@contextmanager
def arriving(entry: WeightFile) -> Iterator[Path]:
    """Lock the entry's place in the cache; gives the name of a file beside it to write to.

    Whatever has that name is gone at the end: a refused file, and one that a killed process left there.
    """
    import filelock

    target = cached_file(entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = beside(target, "whole")
    with filelock.FileLock(beside(target, "lock")):
        try:
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)


def keep(fresh: Path, entry: WeightFile, source: str, said: Announced | None = None) -> Path:
    """Put `fresh` in the entry's place once it is known to be right; what was there stays until then.

    `said` is what the server announced: it holds where the registry has no digest. Raises WeightsError.
    """
    said = said or Announced()
    own = f"`mmbench weights path {entry.name} --use FILE`"
    remedy = f"It was not kept. Try a mirror (MMBENCH_MIRROR), or use a file of your own: {own}."
    if entry.size is not None and (size := fresh.stat().st_size) != entry.size:
        raise WeightsError(f"{source}: {size} bytes, expected {entry.size}.", remedy)
    if said.size is not None and (size := fresh.stat().st_size) != said.size:
        raise WeightsError(f"{source}: {size} bytes arrived, its server announced {said.size}.", remedy)
    digest = sha256_file(fresh)
    if said.sha256 and digest != said.sha256:
        raise WeightsError(f"{source}: sha256 {digest} arrived, its server announced {said.sha256}.", remedy)
    check_digest(digest, entry, source, remedy)
    if not is_published(digest, entry) and (why := strange(fresh, entry.kind, entry.location)):
        raise WeightsError(f"{source} is not {entry.name}: {why}.", remedy)
    target = cached_file(entry)
    settle(fresh, target)
    write_record(target, digest, source, _trust(entry, said), said.revision)
    return target


def unpack(entry: WeightFile, archive: Path, *, force: bool = False) -> Path:
    """Take `entry` out of its archive into the cache, unless it is there. Raises WeightsError."""
    target = cached_file(entry)
    with arriving(entry) as fresh:
        if not force and target.is_file():
            return target  # another process was faster
        extract_member(archive, entry.member, fresh, entry.max_bytes)
        return keep(fresh, entry, f"{archive}:{entry.member}")


def _trust(entry: WeightFile, said: Announced) -> str:
    if entry.sha256:
        return "published"
    if said.sha256:
        return "announced"
    return "prefix" if entry.sha256_prefix else "first use"
