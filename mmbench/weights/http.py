"""Bounded, resumable HTTP: every byte counted, every redirect checked, nothing kept that is incomplete."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from mmbench.errors import ManifestError, MMBenchError
from mmbench.files import Progress, beside, read_json, settle, write_json

if TYPE_CHECKING:
    from requests import Response

_BLOCK = 1 << 16


class DownloadError(MMBenchError):
    """A file could not be fetched: refused address, HTTP status, too large, too slow, cut off."""


class UnknownHost(DownloadError):
    """The host's name leads nowhere: it is gone, or this machine is not on the network."""


@dataclass(frozen=True)
class Limits:
    """What one download may do.

    `max_bytes` bounds the body; `plain_http` allows unencrypted addresses on any host (only for content that
    is hash-checked and has no other address), `plain_http_hosts` on the named ones. Loopback is always
    allowed. `total_seconds` bounds the whole download, `read_seconds` a silence. `attempts` counts
    resumptions after a cut.
    """

    max_bytes: int
    plain_http: bool = False
    plain_http_hosts: frozenset[str] = frozenset()
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    total_seconds: float | None = None
    redirects: int = 5
    attempts: int = 4
    pause_seconds: float = 1.0


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_internal(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


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
    if before and _is_internal(host) and not _is_internal(urlsplit(before).hostname or ""):
        raise DownloadError(f"Refused {url}{came}: an internal address.", "Get the file by other means.")


@contextmanager
def _open(url: str, limits: Limits, headers: dict[str, str]) -> Iterator[Response]:
    import requests

    with requests.Session() as session:
        came_from = ""
        for _ in range(limits.redirects + 1):
            check_address(url, limits, came_from)
            # identity: the bytes counted and hashed must be the bytes of the file
            response = session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                allow_redirects=False,
                timeout=(limits.connect_seconds, limits.read_seconds),
            )
            target = response.headers.get("Location", "")
            if response.is_redirect and target:
                response.close()
                came_from, url = url, urljoin(url, target)
                continue
            with response:
                yield response
            return
        raise DownloadError(f"{url}: more than {limits.redirects} redirects.", "Get the file by other means.")


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

    def check_size(self, size: int) -> None:
        """Delete the part and raise DownloadError when the body is larger than allowed."""
        if size > self.limits.max_bytes:
            self.part.unlink(missing_ok=True)
            self.tag_path.unlink(missing_ok=True)
            raise DownloadError(
                f"{self.url}: {size} bytes or more, at most {self.limits.max_bytes} expected.",
                "The server does not hold the expected file.",
            )


def download(url: str, target: Path, limits: Limits, progress: Progress | None = None, label: str = "") -> None:
    """Fetch `url` into `target`, going on from `target`'s `.part` file when an earlier attempt left one.

    `progress(bytes done, bytes in all or 0, label)`. `target` appears only when complete.
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
            time.sleep(limits.pause_seconds * 2 ** (attempt - 1))
        try:
            _continue_part(job)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _Cut) as error:
            if _is_unresolved(error):
                host = urlsplit(url).hostname
                raise UnknownHost(f"{url}: the host {host} is not known.", "Is this machine online?") from error
            failure = f"{type(error).__name__.lstrip('_')}: {error}"
        else:
            job.tag_path.unlink(missing_ok=True)
            settle(part, target)
            return
    raise DownloadError(f"{url}: failed {limits.attempts} times ({failure}).", "Run the command again to go on.")


def _is_unresolved(error: Exception) -> bool:
    """Whether no address was found for a host name, somewhere below requests' own error."""
    from urllib3.exceptions import MaxRetryError, NameResolutionError

    reason: object = error.args[0] if error.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NameResolutionError)


def _continue_part(job: _Job) -> None:
    tag = job.read_tag()
    # without a validator the rest might belong to other bytes, so start anew
    have = job.part.stat().st_size if tag and job.part.exists() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    with _open(job.url, job.limits, headers) as response:
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
        total = have + int(length) if length.isdigit() else 0
        job.check_size(total)
        job.write_tag(response)
        _copy(job, response, have, total)


def _copy(job: _Job, response: Response, done: int, total: int) -> None:
    with job.part.open("ab" if done else "wb") as stream:
        # read1 returns what has arrived, so a server that trickles bytes cannot outlast the deadline
        while block := response.raw.read1(_BLOCK, decode_content=False):
            done += len(block)
            job.check_size(done)
            if time.monotonic() > job.deadline:
                raise DownloadError(f"{job.url}: not finished in {job.limits.total_seconds} s.", "Try again later.")
            stream.write(block)
            if job.progress:
                job.progress(done, total, job.label)
    if done < total:
        raise _Cut(f"{done} of {total} bytes arrived")
