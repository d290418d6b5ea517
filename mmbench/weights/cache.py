"""Where weight files lie on this machine, and what is known of each: source, digest, trust."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mmbench.errors import ManifestError, MMBenchError, WeightsError
from mmbench.files import beside, cache_folder, read_json, sha256_file, write_json
from mmbench.weights.registry import WeightFile


@dataclass(frozen=True)
class Record:
    """What was written down when a file arrived: its digest, where from, and whether that digest was published.

    `trust` is "published" (full digest in the registry), "announced" (by the server, before it sent these bytes),
    "prefix" (leading digits) or "first use" (recorded from these bytes). `mtime_ns` with `size` tells an untouched file
    from an edited one without reading it. `revision` is the commit that the server named, "" where it named none.
    """

    sha256: str
    size: int
    mtime_ns: int
    source: str
    trust: str
    revision: str = ""


def cache_dir() -> Path:
    """`MMBENCH_WEIGHTS`, else `weights` in the cache (`files.cache_root`)."""
    return cache_folder("weights", "MMBENCH_WEIGHTS")


def cached_file(entry: WeightFile) -> Path:
    """Where the file is, or would be, in the cache."""
    return cache_dir() / entry.location


RECORD: Final = "origin.json"
"""End of the name of what is written beside a file: where it came from, its size, time and digest."""


def _record_path(path: Path) -> Path:
    return beside(path, RECORD)


def read_record(path: Path) -> Record | None:
    """The record beside a cached file, or None. A damaged record counts as none."""
    try:
        return Record(**read_json(_record_path(path)))
    except (FileNotFoundError, NotADirectoryError, ManifestError, TypeError):
        return None


def write_record(path: Path, digest: str, source: str, trust: str, revision: str = "") -> Record:
    """Write down the origin of `path` atomically."""
    stat = path.stat()
    record = Record(digest, stat.st_size, stat.st_mtime_ns, source, trust, revision)
    write_json(_record_path(path), asdict(record), sort_keys=True)
    return record


def verify(path: Path, entry: WeightFile, *, quick: bool = False) -> str:
    """Check a file against its entry and its record; returns the digest.

    `quick` trusts an unchanged size and modification time since the digest was last computed, for folders of
    tens of gigabytes. Raises WeightsError naming got and expected.
    """
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        raise WeightsError(f"{path} has {size} bytes, expected {entry.size}.", _again(entry))
    record = read_record(path)
    if quick and record and (record.size, record.mtime_ns) == (size, path.stat().st_mtime_ns):
        digest = record.sha256
    else:
        digest = sha256_file(path)
    check_digest(digest, entry, str(path))
    if entry.sha256:
        return digest
    if record is None:
        # put here by hand: recorded on first use; in a cache that cannot be written, the next use records it
        with suppress(OSError):
            write_record(path, digest, "found in the cache", "first use")
    elif digest != record.sha256:
        raise WeightsError(f"{path} changed: sha256 {digest}, recorded at first as {record.sha256}.", _again(entry))
    return digest


def check_digest(digest: str, entry: WeightFile, where: str, remedy: str = "") -> None:
    """Compare with what is published for `entry`, if anything is. Raises WeightsError."""
    expected = entry.sha256 or entry.sha256_prefix
    if expected and not is_published(digest, entry):
        message = f"{where} is not {entry.name}: sha256 {digest}, expected {expected}."
        raise WeightsError(message, remedy or _again(entry))


def is_published(digest: str, entry: WeightFile) -> bool:
    """Whether a digest is the registered one; never where none is published."""
    expected = entry.sha256 or entry.sha256_prefix
    return bool(expected) and digest.startswith(expected)


def _again(entry: WeightFile) -> str:
    if entry.name in user_paths():
        return f"Give another file, or use the registered one: `mmbench weights path {entry.name} --forget`."
    if entry.package:
        return f"Reinstall the package {entry.package}."
    return f"Get it again: `mmbench weights get {entry.name} --force`."


def user_paths() -> dict[str, str]:
    """Files the user put in place of a registry entry: name -> path."""
    try:
        document = read_json(cache_dir() / "user_paths.json", "Delete it.")
    except (FileNotFoundError, NotADirectoryError):  # a cache below a file or a device is one that holds nothing
        return {}
    return {str(name): str(path) for name, path in document.items()}


def set_user_path(entry: WeightFile, path: Path | None) -> None:
    """Use the user's own file for `entry` from now on, or the registry's again when `path` is None."""
    if path is not None and not path.is_file():
        raise MMBenchError(f"{path} is no file.", "Give the path of a weight file.")
    kept = {name: where for name, where in user_paths().items() if name != entry.name}
    if path is not None:
        kept[entry.name] = str(path.resolve())
    write_json(cache_dir() / "user_paths.json", kept, sort_keys=True)
