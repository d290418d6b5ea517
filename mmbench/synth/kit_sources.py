"""Where the kit's 842 source files come from: pinned CC0 files on GitHub, or an archive of them; every hash is checked.

`data/kit_sources.txt` lists `sha256 path`; a path begins with the repository's short name. Repositories and commits:
makehumancommunity's makehuman (base mesh, targets, rig), makehuman-assets (hair) and mpfb2 (UV masks). All files used
are CC0; the programs in those repositories are not touched.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from mmbench.files import Progress, beside, cache_folder, settle, sha256
from mmbench.synth.kit import KitError

COMMITS = {
    "makehuman": "a8bc2d54ff0ac92e78ff71431b1023eda42bf482",
    "makehuman-assets": "8cf9645b975a98eea056b140df11a1d278da0d10",
    "mpfb2": "80919fa4682335c41847f761a4d79dcad4124732",
}
BASE_URL = "https://raw.githubusercontent.com/makehumancommunity"
_LARGEST = 8_000_000  # bytes of one file


@lru_cache(maxsize=1)
def listed() -> Mapping[str, str]:
    """sha256 of every source file by path."""
    text = (files("mmbench.synth") / "data" / "kit_sources.txt").read_text(encoding="ascii")
    rows = (line.split(" ", 1) for line in text.splitlines() if line)
    return {path: digest for digest, path in rows}


def _check(path: str, data: bytes, origin: str) -> bytes:
    found = sha256(data)
    if found != listed()[path]:
        raise KitError(
            f"{path} from {origin} has sha256 {found}, expected {listed()[path]}.",
            "The file was changed or damaged: delete it and fetch it again, or use another archive.",
        )
    return data


def read_archive(archive: Path) -> dict[str, bytes]:
    """The listed files out of a tar archive (any compression). Nothing is unpacked to disk; other members
    are ignored."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:*") as box:
            for member in box:
                name = member.name.removeprefix("./")
                if name not in listed() or not member.isfile():
                    continue
                if member.size > _LARGEST:
                    raise KitError(
                        f"{archive}: {name} has {member.size} bytes.", "This is not the kit's source archive."
                    )
                stream = box.extractfile(member)
                if stream is not None:
                    found[name] = _check(name, stream.read(), str(archive))
    except (OSError, tarfile.TarError, EOFError) as cause:
        raise KitError(
            f"{archive} cannot be read as a tar archive: {cause}.", "Give the archive of the CC0 files."
        ) from cause
    missing = listed().keys() - found.keys()
    if missing:
        some = ", ".join(sorted(missing)[:3])
        raise KitError(
            f"{archive} lacks {len(missing)} of {len(listed())} files, for example {some}.",
            "Give the full archive.",
        )
    return found


def url_of(path: str, base: str = BASE_URL) -> str:
    """Address of a source file at its pinned commit."""
    repository, inner = path.split("/", 1)
    return f"{base.rstrip('/')}/{repository}/{COMMITS[repository]}/{inner}"


def download(
    folder: Path | None = None, base: str = BASE_URL, workers: int = 8, progress: Progress | None = None
) -> dict[str, bytes]:
    """Fetch the listed files that `folder` (a cache) lacks and return all. Checked files are never fetched twice.

    Raises `KitError` when MMBENCH_OFFLINE is set, without network, or when a hash is wrong.
    """
    from mmbench.weights.http import DownloadError, Limits
    from mmbench.weights.http import download as fetch

    store = folder or cache_folder("facekit-sources")
    limits = Limits(max_bytes=_LARGEST)

    def one(path: str) -> bytes:
        here = store / path
        if here.is_file():
            return _check(path, here.read_bytes(), str(here))
        if os.environ.get("MMBENCH_OFFLINE", "") not in ("", "0"):
            raise KitError(
                f"{path} is not in {store} and MMBENCH_OFFLINE forbids downloads.",
                "Unset it or use --source.",
            )
        arriving = beside(here, "new")
        try:
            fetch(url_of(path, base), arriving, limits)
        except DownloadError as cause:
            raise KitError(
                f"{url_of(path, base)} could not be fetched: {cause.message}",
                "The kit needs network once. Without it: `mmbench synth kit build --source ARCHIVE`.",
            ) from cause
        try:
            data = _check(path, arriving.read_bytes(), url_of(path, base))
        except KitError:
            arriving.unlink()
            raise
        settle(arriving, here)
        return data

    found: dict[str, bytes] = {}
    with ThreadPoolExecutor(workers) as pool:
        jobs = {path: pool.submit(one, path) for path in listed()}
        try:
            for done, (path, job) in enumerate(jobs.items(), start=1):
                found[path] = job.result()
                if progress is not None:
                    progress(done, len(jobs), "source files")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found
