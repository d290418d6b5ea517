"""Downloads of a list of addresses: bounded, hashed, one file of a host at a time, and not where robots.txt says no."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from mmbench.data.ledger import Atom, Outcome, Stage
from mmbench.data.settings import FetchSettings
from mmbench.data.types import Candidate, Dropped
from mmbench.errors import ManifestError
from mmbench.files import sha256_file
from mmbench.weights.guard import is_internal
from mmbench.weights.http import DownloadError, Limits, UnknownHost, download

AGENT = "mmbench"
ROBOTS_BYTES = 512 * 1024
TOLD = ("sha256", "licence", "nsfw")
"""What a list may say of a file beside its address."""
OFFLINE = 20
"""So many unknown hosts in a row mean that this machine is not on the network."""


def read_list(path: Path) -> Iterator[Candidate]:
    """Addresses of a list: one a line, or a CSV, TSV or Parquet with a column url and, where known, those of `TOLD`.

    Raises ManifestError for a file that is no such list.
    """
    if path.suffix.lower() == ".parquet":
        yield from _read_parquet(path)
        return
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            separator = "\t" if "\t" in first else ","
            names = [name.strip().lower() for name in first.split(separator)]
            if "url" not in names:
                for line in stream:
                    if line.strip() and not line.startswith("#"):
                        yield Candidate("", line.strip())
                return
            for row in csv.DictReader(stream, delimiter=separator):
                told = {(name or "").strip().lower(): (value or "") for name, value in row.items() if name}
                yield _told(told)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as cause:
        raise ManifestError(
            f"{path}: cannot be read as a list of addresses: {cause}.", "Give one address a line, or a CSV with url."
        ) from cause


def _told(cells: dict[str, str]) -> Candidate:
    """A row of a list, its columns in small letters."""
    return Candidate("", cells["url"].strip(), facts={name: cells[name] for name in TOLD if cells.get(name)})


def _read_parquet(path: Path) -> Iterator[Candidate]:
    """Rows of a Parquet list, as LAION's are; only the columns that are used, a piece at a time."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            names = {str(name).lower(): str(name) for name in table.schema_arrow.names}
            if "url" not in names:
                raise KeyError("it has no column url")
            used = [names[name] for name in ("url", *TOLD) if name in names]
            for piece in table.iter_batches(columns=used):
                for row in piece.to_pylist():
                    cells = {name.lower(): "" if value is None else str(value) for name, value in row.items()}
                    if cells["url"].strip():
                        yield _told(cells)
    except (OSError, pyarrow.ArrowException, KeyError) as cause:
        raise ManifestError(
            f"{path}: cannot be read as a list of addresses: {cause}.", "Give a Parquet file with a column url."
        ) from cause


@dataclass
class _Host:
    """One server: only who holds `lock` may ask it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: float = float("-inf")
    delay: float = 0.0
    robots: RobotFileParser | None = None


class Fetch(Stage):
    """Files of addresses. Those that cannot be had are dropped: what fails today is not asked again by this build."""

    name = "fetch"
    filters: ClassVar[tuple[str, ...]] = ("refused", "robots", "address", "hash")

    def __init__(self, folder: Path, bounds: FetchSettings, most_bytes: int) -> None:
        self.folder, self.bounds, self.most_bytes = folder, bounds, most_bytes
        self.threads = bounds.hosts
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._unknown = 0

    def decides(self) -> object:
        return [self.most_bytes, self.bounds.robots, self.bounds.plain_http, self.bounds.internal]

    def decide(self, atom: Atom) -> Outcome:
        row = atom[0]
        target = self.folder / "fetched" / row.key
        parts = urlsplit(row.origin)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or (is_internal(host) and not self.bounds.internal):
            return Outcome(dropped=(Dropped(row.key, "refused", row.origin),))
        if not target.is_file():
            try:
                if not self._ask(parts.scheme, parts.netloc, row.origin, target):
                    return Outcome(dropped=(Dropped(row.key, "robots", row.origin),))
            except UnknownHost as cause:
                self._unknown += 1
                if self._unknown >= OFFLINE:
                    raise
                return Outcome(dropped=(Dropped(row.key, "address", str(cause)),))
            except DownloadError as cause:
                return Outcome(dropped=(Dropped(row.key, "address", str(cause)),))
        self._unknown = 0
        digest = sha256_file(target)
        if (wanted := str(row.facts.get("sha256", "")).lower()) and wanted != digest:
            return Outcome(dropped=(Dropped(row.key, "hash", digest),))
        return Outcome((replace(row, file=f"fetched/{row.key}", facts={**row.facts, "sha256": digest}),))

    def _ask(self, scheme: str, server: str, address: str, target: Path) -> bool:
        """Download in the host's turn; False where its robots.txt forbids it."""
        with self._lock:
            host = self._hosts.setdefault(server, _Host(delay=self.bounds.delay))
        with host.lock:
            if self.bounds.robots and host.robots is None:
                host.robots = self._robots(f"{scheme}://{server}/robots.txt", target)
                host.asked = time.monotonic()
                if (told := host.robots.crawl_delay(AGENT)) is not None:
                    host.delay = max(host.delay, min(float(told), 60.0))
            if host.robots is not None and not host.robots.can_fetch(AGENT, address):
                return False
            time.sleep(max(0.0, host.asked + host.delay - time.monotonic()))
            try:
                download(address, target, self._limits(self.most_bytes))
            finally:
                host.asked = time.monotonic()
        return True

    def _robots(self, address: str, beside: Path) -> RobotFileParser:
        """A host's rules; all is allowed where it has none that can be read."""
        found = RobotFileParser(address)
        place = beside.with_name(f".robots-{threading.get_ident()}")
        lines: Iterable[str] = ()
        try:
            download(address, place, self._limits(ROBOTS_BYTES))
            lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
        except UnknownHost:
            raise
        except DownloadError:
            pass
        finally:
            for left in place.parent.glob(f"{place.name}*"):
                left.unlink(missing_ok=True)
        found.parse(lines)
        return found

    def _limits(self, most: int) -> Limits:
        return Limits(most, plain_http=self.bounds.plain_http, total_seconds=self.bounds.seconds, attempts=2)
