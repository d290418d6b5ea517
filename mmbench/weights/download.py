"""Get weight files: only when asked, only from known addresses, checked before they are kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from mmbench.errors import MMBenchError
from mmbench.files import Progress
from mmbench.weights.arrive import arriving, keep, unpack
from mmbench.weights.cache import cached_file
from mmbench.weights.http import DownloadError, Limits
from mmbench.weights.http import download as http_download
from mmbench.weights.locate import locate
from mmbench.weights.registry import WeightFile, find, human_size


class OfflineError(MMBenchError):
    """A download was asked for while MMBENCH_OFFLINE is set."""


def is_offline() -> bool:
    """Whether `MMBENCH_OFFLINE` forbids downloads ("" and "0" do not)."""
    return os.environ.get("MMBENCH_OFFLINE", "") not in ("", "0")


def addresses(entry: WeightFile) -> tuple[str, ...]:
    """Where a download looks, in order, its archive first; with `MMBENCH_MIRROR`, only below it at `entry.location`."""
    if mirror := os.environ.get("MMBENCH_MIRROR"):
        return (f"{mirror.rstrip('/')}/{entry.location}",)
    return (addresses(find(entry.archive)) if entry.archive else ()) + entry.sources


def get(
    name: str | WeightFile,
    progress: Progress | None = None,
    *,
    force: bool = False,
    limits: Limits | None = None,
) -> Path:
    """Download one file, or its archive, into the cache unless it is there; returns its path.

    Interrupted downloads go on where they stopped. A file with the wrong digest is not kept; with `force`, the
    one that is here stays until a right one has arrived. `limits` replaces the time-outs (its `max_bytes` too).
    Raises OfflineError, DownloadError, WeightsError; MissingWeights where the user's own file is gone.
    """
    entry = find(name)
    if not force and (here := locate(entry)) is not None:
        return here
    if entry.package:
        raise MMBenchError(
            f"{entry.name} is part of the package {entry.package}.",
            f"pip install {entry.package.replace('_', '-')}",
        )
    if is_offline():
        raise OfflineError(
            f"{entry.name} is not here and MMBENCH_OFFLINE forbids downloads.",
            f"Copy the file to {cached_file(entry)}, or unset MMBENCH_OFFLINE.",
        )
    failures: list[MMBenchError] = []
    if entry.archive and not os.environ.get("MMBENCH_MIRROR"):
        try:
            return unpack(entry, get(entry.archive, progress, limits=limits), force=force)
        except MMBenchError as error:
            if not entry.sources:
                raise
            failures.append(error)
    for url in addresses(entry) if os.environ.get("MMBENCH_MIRROR") else entry.sources:
        try:
            return _fetch(entry, url, progress, limits or default_limits(entry), force)
        except MMBenchError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    tried = " ".join(error.message for error in failures)
    raise DownloadError(f"No address of {entry.name} worked: {tried}", failures[-1].remedy)


def default_limits(entry: WeightFile) -> Limits:
    """Size bound of the entry; plain http only on a mirror the user named so."""
    mirror = urlsplit(os.environ.get("MMBENCH_MIRROR", ""))
    hosts = frozenset({mirror.hostname}) if mirror.scheme == "http" and mirror.hostname else frozenset()
    return Limits(max_bytes=entry.max_bytes, plain_http_hosts=hosts)


def _fetch(entry: WeightFile, url: str, progress: Progress | None, limits: Limits, force: bool) -> Path:
    target = cached_file(entry)
    with arriving(entry) as fresh:
        if not force and target.is_file():
            return target  # another process was faster
        _need_room(entry, target.parent)
        said = http_download(url, fresh, limits, progress, entry.name)
        return keep(fresh, entry, url, said)


def _need_room(entry: WeightFile, folder: Path) -> None:
    needed, free = entry.size or entry.about or 0, shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{entry.name} needs {human_size(needed)}, {folder} has {human_size(free)} free.",
            "Make room, or name another folder in MMBENCH_WEIGHTS.",
        )
