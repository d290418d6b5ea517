"""What weight files exist: name, addresses, size, hash, licence, who may use them. Data in `data/*.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from mmbench.errors import ManifestError, MMBenchError

Kind = Literal["torch", "safetensors", "onnx", "dlib", "archive", "data"]
HUB = "https://huggingface.co"
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class WeightFile:
    """One file that a network is loaded from.

    Where it comes from, in the order tried: `archive` + `member` (a zip that is itself a registry entry), the hub file
    `repo`/`path` at `revision`, the same below the repository's newer name `renamed`, then each of `urls` (mirrors).
    `package` + `path` instead name a file of an installed Python package, which is never downloaded. `size` is exact in
    bytes; where only a rounded figure is published, `size` is None and `about` holds it, in bytes. `sha256` is the
    published digest, `sha256_prefix` the leading digits published in a file name. With neither, the digest is recorded
    on the first download and checked from then on, and every listing says so. `limits` says who may use the file when
    that is not everyone; it is shown before a download. `groups` go from the widest to the narrowest, whose files are
    only of use together.
    """

    name: str
    kind: Kind
    licence: str
    urls: tuple[str, ...] = ()
    repo: str = ""
    path: str = ""
    revision: str = "main"
    renamed: str = ""
    space: bool = False
    archive: str = ""
    member: str = ""
    package: str = ""
    size: int | None = None
    about: int | None = None
    sha256: str = ""
    sha256_prefix: str = ""
    limits: str = ""
    groups: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ManifestError(
                f"weights entry {self.name}: unknown kind {self.kind!r}.", f"Use one of {get_args(Kind)}."
            )
        if not (self.urls or self.repo or self.archive or self.package):
            raise ManifestError(f"weights entry {self.name} has no source.", "Give urls, repo, archive or package.")
        for digest, wanted in ((self.sha256, 64), (self.sha256_prefix, None)):
            if digest and (not _HEX.fullmatch(digest) or (wanted and len(digest) != wanted)):
                raise ManifestError(
                    f"weights entry {self.name}: {digest!r} is no sha256.", "Write lower-case hex digits."
                )
        unsafe = Path(self.location)
        if unsafe.is_absolute() or ".." in unsafe.parts:
            raise ManifestError(
                f"weights entry {self.name} would be written to {self.location}.", "Use a relative path."
            )

    @property
    def location(self) -> str:
        """Path inside the cache, and below a mirror's address: hub files keep their repository's layout."""
        if self.repo:
            return f"{self.repo.replace('/', '--')}/{self.path}"
        if self.package:
            return f"{self.package}/{self.path}"
        name = self.member or self.urls[0].split("?")[0]
        return name.rsplit("/", 1)[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """Every address the file itself (not its archive) can be fetched from."""
        hub: tuple[str, ...] = ()
        if self.repo:
            prefix = f"{HUB}/spaces" if self.space else HUB
            names = (self.repo, self.renamed) if self.renamed else (self.repo,)
            hub = tuple(f"{prefix}/{name}/resolve/{self.revision}/{self.path}" for name in names)
        return hub + self.urls

    @property
    def trust(self) -> str:
        """How the bytes are known to be the right ones, in words for a listing."""
        if self.sha256:
            return "sha256 published"
        if self.sha256_prefix:
            return f"sha256 starts with {self.sha256_prefix} (published)"
        return "unknown: recorded on first download"

    @property
    def is_checked(self) -> bool:
        """Whether anything is published that the bytes can be compared with."""
        return bool(self.sha256 or self.sha256_prefix)

    @property
    def size_text(self) -> str:
        """Size for people: exact, "about" or "size unknown"."""
        if self.size is not None:
            return human_size(self.size)
        return f"about {human_size(self.about)}" if self.about is not None else "size unknown"

    @property
    def max_bytes(self) -> int:
        """Most bytes a download may have: the exact size, 20 % over a rounded one, 2 GB if unknown."""
        if self.size is not None:
            return self.size
        return self.about * 12 // 10 if self.about is not None else 2 * 10**9


def human_size(size: int) -> str:
    """Bytes as decimal units: 21108000 -> "21.1 MB"."""
    for unit in ("GB", "MB", "kB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.3g} {unit}"
    return f"{size} B"


def parse_size(value: str | int) -> int:
    """Inverse of `human_size` up to rounding. Raises ManifestError."""
    if isinstance(value, int):
        return value
    match = re.fullmatch(r"([\d.]+) ?(B|kB|MB|GB)", value)
    if not match:
        raise ManifestError(f"{value!r} is no file size.", 'Write bytes as a number, or a text like "21.1 MB".')
    return round(float(match[1]) * _UNITS[match[2]])


def read_registry(path: Path) -> tuple[WeightFile, ...]:
    """The entries of one YAML file: `defaults` (optional) and `files`, a mapping from name to fields.

    Raises ManifestError on unknown fields, so that a typing error never becomes a missing hash.
    """
    import yaml

    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict):
        raise ManifestError(f"{path} is no weights registry.", "It needs a mapping `files` from name to fields.")
    known = {field.name for field in fields(WeightFile)} - {"name"}
    entries = []
    for name, own in document["files"].items():
        row = {**document.get("defaults", {}), **own}
        if unknown := sorted(set(row) - known):
            raise ManifestError(f"{path}: entry {name} has unknown fields {unknown}.", f"Known: {sorted(known)}.")
        entries.append(_entry(str(name), row))
    return tuple(entries)


def _entry(name: str, row: dict[str, Any]) -> WeightFile:
    for key in ("size", "about"):
        if row.get(key) is not None:
            row[key] = parse_size(row[key])
    for key in ("urls", "groups"):
        if key in row:
            row[key] = tuple(row[key])
    return WeightFile(name=name, **row)


@cache
def registry() -> dict[str, WeightFile]:
    """All known weight files by name. Raises ManifestError when two files claim one name."""
    found: dict[str, WeightFile] = {}
    for path in sorted((Path(__file__).parent / "data").glob("*.yaml")):
        for entry in read_registry(path):
            if entry.name in found:
                raise ManifestError(f"{path}: the name {entry.name} is taken.", "Rename one of the two entries.")
            found[entry.name] = entry
    for entry in found.values():
        if entry.archive and entry.archive not in found:
            raise ManifestError(f"weights entry {entry.name}: no archive {entry.archive}.", "Add it to the registry.")
    return found


def find(name: str | WeightFile) -> WeightFile:
    """The entry called `name`. Raises MMBenchError with near names when there is none."""
    if isinstance(name, WeightFile):
        return name
    if name in registry():
        return registry()[name]
    import difflib

    near = difflib.get_close_matches(name, [*registry(), *groups()], n=3)
    hint = f"Did you mean {', '.join(near)}? " if near else ""
    raise MMBenchError(f"There are no weights called {name!r}.", f"{hint}`mmbench weights list` shows all.")


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Names of the entries of each group (a metric, a model), so that one command gets all that is needed."""
    found: dict[str, list[str]] = {}
    for entry in registry().values():
        for group in entry.groups:
            found.setdefault(group, []).append(entry.name)
    return {group: tuple(names) for group, names in sorted(found.items())}


def complete_group(entry: WeightFile) -> str:
    """What to ask for so that nothing else is missing next: the narrowest group (the last), if it has other files."""
    narrowest = entry.groups[-1] if entry.groups else ""
    return narrowest if len(groups().get(narrowest, ())) > 1 else entry.name


def expand(names: list[str]) -> list[WeightFile]:
    """Entries for names of files or groups, each once, in order. Raises MMBenchError on an unknown name."""
    chosen: dict[str, WeightFile] = {}
    for name in names:
        for member in groups().get(name, (name,)):
            chosen.setdefault(member, find(member))
    return list(chosen.values())
