"""Remote storage through fsspec: what lies there, read within bounds of size and time, every failure in plain words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any, TypeVar

from mmbench.errors import MMBenchError, RemoteError, machine_fault
from mmbench.files import sha256
from mmbench.remote.schemes import check_scheme

T = TypeVar("T")

_made: dict[tuple[int | None, str], Any] = {}
_making = threading.Lock()

LOOK_SECONDS = 60.0
"""What asking about an object, or for a list, may take."""
QUIET_SECONDS = 120.0
"""What may pass between two blocks of a file."""
TOTAL_SECONDS = 3600.0
"""What one file may take altogether."""
ATTEMPTS = 3
PAUSE_SECONDS = 1.0
BLOCK = 1 << 20
TELLING = (
    *("ETag", "etag", "e_tag", "md5Hash", "content_md5", "crc32c", "generation", "VersionId", "version_id", "blob_id"),
    *("xet_hash", "LastModified", "last_modified", "last_commit", "updated", "uploaded_at", "mtime", "created"),
)
"""What storages say of an object that is another when the object is; whatever of it they say is taken."""


@dataclass(frozen=True)
class ObjectFacts:
    """What a storage says of an object: bytes, and a digest of whatever tells this version of it from others."""

    size: int
    version: str


def filesystem(url: str) -> Any:
    """The storage of a URL as fsspec opens it, with the user's own configuration and credentials.

    One for all threads of this process: fsspec by itself would make one, with connections of its own, for each. Raises
    MissingDependency where its package is not installed.
    """
    check_scheme(url)
    import fsspec

    scheme = url.partition(":")[0]
    with _making:
        key = (current_process().pid, scheme)
        if key not in _made:
            _made[key] = fsspec.filesystem(scheme)
        return _made[key]


def look(url: str) -> ObjectFacts:
    """Size and version of an object. Raises RemoteError for none, and where the storage does not answer in time."""

    def ask(stop: threading.Event) -> ObjectFacts:
        storage = filesystem(url)
        storage.invalidate_cache()  # else a listing of some time ago answers
        info = storage.info(url)
        if info.get("type") == "directory":
            raise RemoteError(f"{url}: is a folder there, not a file.", "Name every file by itself.")
        return _facts(info)

    return bounded(url, ask, LOOK_SECONDS)


def _facts(info: Mapping[str, Any]) -> ObjectFacts:
    said = {name: str(info[name]) for name in TELLING if info.get(name) is not None}
    size = int(info.get("size") or 0)
    return ObjectFacts(size, sha256(json.dumps([size, said], sort_keys=True).encode()))


def download(url: str, target: Path, facts: ObjectFacts) -> None:
    """Write an object's bytes to `target`. Raises RemoteError where they are not all there, or not in time."""
    moved = [time.monotonic()]

    def read(stop: threading.Event) -> None:
        moved[0] = time.monotonic()
        count = 0
        with filesystem(url).open(url, "rb") as source, target.open("wb") as copy:
            while not stop.is_set() and (block := source.read(BLOCK)):
                count += len(block)
                moved[0] = time.monotonic()
                if count > facts.size:
                    break
                copy.write(block)
        if count != facts.size and not stop.is_set():
            raise RemoteError(
                f"{url}: {count} bytes came where the storage says {facts.size}.",
                "It may be written just now; run the same command again.",
            )

    bounded(url, read, TOTAL_SECONDS, moved)


def upload(source: Path, url: str) -> None:
    """Put a file in an object's place, whole or not at all. Raises RemoteError."""
    bounded(url, lambda stop: filesystem(url).put_file(str(source), url), TOTAL_SECONDS)


def listed(url: str) -> dict[str, ObjectFacts]:
    """The objects below a URL by their names from there on; empty where there is none. Raises RemoteError."""

    def find(stop: threading.Event) -> dict[str, ObjectFacts]:
        storage = filesystem(url)
        storage.invalidate_cache()
        root = storage._strip_protocol(url).rstrip("/")
        try:
            found = storage.find(root, detail=True)
        except FileNotFoundError as cause:
            if _is_forbidden(cause):
                raise
            return {}
        start = root.lstrip("/") + "/"
        inside = {name.lstrip("/"): _facts(info) for name, info in found.items()}
        return {name[len(start) :]: facts for name, facts in inside.items() if name.startswith(start)}

    return bounded(url, find, LOOK_SECONDS * 5)


def bounded(url: str, call: Callable[[threading.Event], T], seconds: float, moved: list[float] | None = None) -> T:
    """What `call` gives, tried up to three times, within `seconds` altogether and whatever hangs inside.

    Where `moved` is given, its entry is when something last came, and a silence of two minutes ends it too. Raises
    RemoteError with the cause in plain words, MissingDependency, MachineFault where this machine's disk is to blame.
    """
    end = time.monotonic() + seconds
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _in_time(url, call, end, moved)
        except MMBenchError:
            raise
        except Exception as cause:
            lasting = isinstance(cause, FileNotFoundError | ValueError | ImportError) or _is_forbidden(cause)
            if machine := machine_fault(cause):  # this machine's disk, not the storage
                raise machine from cause
            if lasting or attempt == ATTEMPTS or time.monotonic() > end:
                raise _told(url, cause) from cause
            time.sleep(PAUSE_SECONDS * attempt)
    raise AssertionError


def _in_time(url: str, call: Callable[[threading.Event], T], end: float, moved: list[float] | None) -> T:
    """In a thread of its own, which is left behind where it does not end: no library here takes a deadline."""
    done: list[T] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def run() -> None:
        try:
            done.append(call(stop))
        except BaseException as cause:
            failed.append(cause)

    if moved:
        moved[0] = time.monotonic()
    thread = threading.Thread(target=run, name=f"storage {url}", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.5)
            now = time.monotonic()
            if thread.is_alive() and (now > end or (moved and now - moved[0] > QUIET_SECONDS)):
                raise RemoteError(f"{url}: the storage does not answer in time.", "Run the same command again later.")
    finally:
        stop.set()
    if failed:
        raise failed[0]
    return done[0]


def _is_forbidden(cause: BaseException | None) -> bool:
    """Whether credentials lack or do not suffice, by what was raised or by the answer that it was raised for.

    botocore's and azure's own errors are told by their names. The Hugging Face Hub answers for a repository that may
    not be seen as for one that is not there, and its client raises FileNotFoundError for both.
    """
    while cause is not None:
        kinds = {kind.__name__ for kind in type(cause).__mro__}
        if isinstance(cause, PermissionError) or kinds & {"NoCredentialsError", "ClientAuthenticationError"}:
            return True
        if getattr(getattr(cause, "response", None), "status_code", None) in (401, 403):
            return True
        cause = cause.__cause__
    return False


def _told(url: str, cause: Exception) -> RemoteError:
    text = " ".join(str(cause).split())[:200]
    if _is_forbidden(cause):
        return RemoteError(
            f"{url}: not permitted ({text or type(cause).__name__}).",
            "Correct the URL, or give credentials as the storage's own programs take them (AWS_PROFILE or "
            "AWS_ACCESS_KEY_ID for s3, HF_TOKEN for hf).",
        )
    if isinstance(cause, FileNotFoundError):
        return RemoteError(f"{url}: there is no such object.", "Correct the URL, or put the file there.")
    said = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    return RemoteError(f"{url}: cannot be read or written ({said}).", "Check the network and the URL; run it again.")
