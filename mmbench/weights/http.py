"""Bounded, resumable HTTP: every byte counted, every redirect checked, nothing kept that is incomplete."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from mmbench.errors import ManifestError
from mmbench.files import Progress, beside, read_json, settle, write_json
from mmbench.weights.guard import DownloadError, Guard, guarded_session, is_internal, is_loopback

__all__ = ["Announced", "DownloadError", "Limits", "UnknownHost", "check_address", "download", "is_loopback"]

if TYPE_CHECKING:
    from requests import Response

_BLOCK = 1 << 16


class UnknownHost(DownloadError):
    """The host's name leads nowhere: it is gone, or this machine is not on the network. `host` is that name."""

    host: str = ""


@dataclass
class Announced:
    """What a server said of the file before it sent it: sha256, bytes and revision of its repository, where it did.

    Model hubs do, in the answer that leads to a large file (`X-Linked-Etag`, `X-Linked-Size`, `X-Repo-Commit`).
    """

    sha256: str = ""
    size: int | None = None
    revision: str = ""

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take what an answer says; the first that says anything counts, and what is no digest is passed over."""
        digest = headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"').lower()
        if not self.sha256 and re.fullmatch("[0-9a-f]{64}", digest):
            self.sha256 = digest
            size = headers.get("X-Linked-Size", "")
            self.size = int(size) if re.fullmatch("[0-9]{1,18}", size) else None
        revision = headers.get("X-Repo-Commit", "").lower()
        if not self.revision and re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", revision):
            self.revision = revision


@dataclass(frozen=True)
class Limits:
    """What one download may do.

    `max_bytes` bounds the body; `plain_http` allows unencrypted addresses on any host (only for content that
    is hash-checked and has no other address), `plain_http_hosts` on the named ones. Loopback is always
    allowed. `total_seconds` bounds the whole download with all its attempts and redirects; without it `read_seconds`
    bounds a silence, and `header_seconds` what comes before the body. `attempts` counts resumptions after a cut.
    """

    max_bytes: int
    plain_http: bool = False
    plain_http_hosts: frozenset[str] = frozenset()
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    header_seconds: float = 60.0
    total_seconds: float | None = None
    redirects: int = 5
    attempts: int = 4
    pause_seconds: float = 1.0


def check_address(url: str, limits: Limits, before: str = "") -> None:
    """Refuse schemes other than https (and allowed http), and a redirect from outside to an internal address.

    Raises DownloadError.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    came = f" (redirected from {before})" if before else ""
    plain = limits.plain_http or host in limits.plain_http_hosts or is_loopback(host)
    if parts.scheme != "https" and not (parts.scheme == "http" and plain):
        raise DownloadError(f"Refused {url}{came}: only https addresses are fetched.", "Get the file by other means.")
    if before and is_internal(host) and not is_internal(urlsplit(before).hostname or ""):
        raise DownloadError(f"Refused {url}{came}: an internal address.", "Get the file by other means.")


@contextmanager
def _open(job: _Job, headers: dict[str, str]) -> Iterator[Response]:
    from requests.auth import HTTPBasicAuth

    limits, url, came_from = job.limits, job.url, ""
    guard = Guard(job.deadline)
    with guarded_session(guard) as session:
        try:
            for _ in range(limits.redirects + 1):
                check_address(url, limits, came_from)
                own = urlsplit(url) if not came_from else None  # a redirect brings no credentials
                with _in_time(job, guard, url):
                    # identity: the bytes counted and hashed must be the bytes of the file
                    response = session.get(
                        url,
                        headers={"Accept-Encoding": "identity", **headers},
                        stream=True,
                        allow_redirects=False,
                        timeout=(limits.connect_seconds, limits.read_seconds),
                        auth=HTTPBasicAuth(own.username, own.password or "") if own and own.username else None,
                    )
                job.said.hear(response.headers)
                target = response.headers.get("Location", "")
                if response.is_redirect and target:
                    response.close()
                    guard.left(urlsplit(url).hostname or "")
                    came_from, url = url, urljoin(url, target)
                    continue
                with response, guard.until(job.deadline - time.monotonic()):
                    yield response
                return
            raise DownloadError(f"{job.url}: more than {limits.redirects} redirects.", "Get the file by other means.")
        finally:
            guard.close()


@contextmanager
def _in_time(job: _Job, guard: Guard, url: str) -> Iterator[None]:
    """Wait for an answer's headers no longer than they may take. Raises DownloadError at the deadline, _Cut before."""
    late = _Cut(f"{url}: no answer within {job.limits.header_seconds:g} s")
    try:
        with guard.until(job.limits.header_seconds):
            yield
    except Exception as cause:
        if guard.expired and not isinstance(cause, DownloadError):
            job.check_time()
            raise late from cause
        raise
    if guard.expired:  # headers that are cut off look as if they had ended
        job.check_time()
        raise late


class _Cut(Exception):
    """The transfer broke off and may be resumed."""


@dataclass(frozen=True)
class _Job:
    url: str
    part: Path
    limits: Limits
    deadline: float
    progress: Progress | None
    label: str
    said: Announced = field(default_factory=Announced)

    @property
    def tag_path(self) -> Path:
        return beside(self.part, "json")

    def read_tag(self) -> str:
        """The server's validator of the bytes on disk, or "" when they belong to another address."""
        try:
            document = read_json(self.tag_path)
        except (FileNotFoundError, ManifestError):
            return ""
        return str(document.get("tag", "")) if document.get("url") == self.url else ""

    def write_tag(self, response: Response) -> None:
        tag = response.headers.get("ETag", "")
        if not tag or tag.startswith("W/"):
            tag = response.headers.get("Last-Modified", "")
        write_json(self.tag_path, {"url": self.url, "tag": tag})

    def check_time(self) -> None:
        """Raise DownloadError when the time is over."""
        if time.monotonic() >= self.deadline:
            raise DownloadError(f"{self.url}: not finished in {self.limits.total_seconds:g} s.", "Try again later.")

    def check_size(self, size: int) -> None:
        """Delete the part and raise DownloadError when the body is larger than allowed."""
        if size > self.limits.max_bytes:
            self.part.unlink(missing_ok=True)
            self.tag_path.unlink(missing_ok=True)
            raise DownloadError(
                f"{self.url}: {size} bytes or more, at most {self.limits.max_bytes} expected.",
                "The server does not hold the expected file.",
            )


def download(url: str, target: Path, limits: Limits, progress: Progress | None = None, label: str = "") -> Announced:
    """Fetch `url` into `target`, going on from `target`'s `.part` file when an earlier attempt left one.

    `progress(bytes done, bytes in all or 0, label)`. `target` appears only when complete. Returns what the server
    announced; it is for the caller to compare.
    Raises DownloadError; the `.part` file then stays for the next attempt, unless the server's file is too
    large.
    """
    import requests
    import urllib3

    part = beside(target, "part")
    part.parent.mkdir(parents=True, exist_ok=True)
    seconds = float("inf") if limits.total_seconds is None else limits.total_seconds
    job = _Job(url, part, limits, time.monotonic() + seconds, progress, label)
    failure = ""
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(min(limits.pause_seconds * 2 ** (attempt - 1), max(0.0, job.deadline - time.monotonic())))
        try:
            job.check_time()
            _continue_part(job)
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise DownloadError(f"{url}: no address that can be asked ({error}).", "Correct it.") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, _Cut) as error:
            job.check_time()
            if host := _unresolved(error):
                unknown = UnknownHost(f"{url}: the host {host} is not known.", "Is this machine online?")
                unknown.host = host
                raise unknown from error
            failure = f"{type(error).__name__.lstrip('_')}: {error}"
        except ValueError as error:  # of urlsplit, and of the codec for names of hosts
            raise DownloadError(f"{url}: no address that can be asked ({error}).", "Correct it.") from error
        else:
            job.tag_path.unlink(missing_ok=True)
            settle(part, target)
            return job.said
    raise DownloadError(f"{url}: failed {limits.attempts} times ({failure}).", "Run the command again to go on.")


def _unresolved(error: Exception) -> str:
    """The host for whose name no address was found, somewhere below requests' own error; "" where none was asked for.

    After a redirect that is another host than the download's.
    """
    from urllib3.exceptions import MaxRetryError, NameResolutionError

    reason: object = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError) and isinstance(reason.reason, NameResolutionError):
        return str(getattr(reason.pool, "host", "")) or "asked"
    return ""


def _continue_part(job: _Job) -> None:
    tag = job.read_tag()
    # without a validator the rest might belong to other bytes, so start anew
    have = job.part.stat().st_size if tag and job.part.exists() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    with _open(job, headers) as response:
        span = response.headers.get("Content-Range", "")
        if response.status_code == 416 or (response.status_code == 206 and not span.startswith(f"bytes {have}-")):
            job.part.unlink(missing_ok=True)
            raise _Cut("the server's file changed meanwhile")
        if response.status_code not in (200, 206):
            raise DownloadError(
                f"{job.url}: HTTP status {response.status_code} {response.reason}.",
                "Check the address, or name a mirror in MMBENCH_MIRROR.",
            )
        if response.status_code == 200:
            have = 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if re.fullmatch("[0-9]{1,18}", length) else 0
        job.check_size(total)
        job.write_tag(response)
        _copy(job, response, have, total)


def _copy(job: _Job, response: Response, done: int, total: int) -> None:
    with job.part.open("ab" if done else "wb") as stream:
        # read1 returns what has arrived, so a server that trickles bytes cannot outlast the deadline
        while block := response.raw.read1(_BLOCK, decode_content=False):
            done += len(block)
            job.check_size(done)
            job.check_time()
            stream.write(block)
            if job.progress:
                job.progress(done, total, job.label)
    job.check_time()
    if done < total:
        raise _Cut(f"{done} of {total} bytes arrived")
