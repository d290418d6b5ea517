"""What stands before the server: limits on rate and size, and headers that keep a page to itself."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex, nofollow",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
REMEMBERED = 20_000
"""Callers of whom a limiter knows; the longest silent one is forgotten first."""


@dataclass(frozen=True)
class StudyLimits:
    """What one caller may do. Rates are per minute, and as many may come at once.

    `requests` and `joins` count by network address (kept in memory only, never written), `votes` by rater. `body` is
    the most bytes of a request. `raters` is the most seats of a study.
    """

    requests: float = 1200
    joins: float = 30
    votes: float = 120
    body: int = 16_384
    raters: int = 5_000


class RateLimit:
    """A bucket a caller, of `per_minute` drops, filled steadily; `clock` counts seconds."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._size = max(per_minute, 1.0)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take a drop: 0, or the seconds until there is one."""
        now = self._clock()
        left, since = self._left.pop(caller, (self._size, now))
        left = min(self._size, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[caller] = (left - 1 if allowed else left, now)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


class StudyGuard:
    """Middleware: refuses callers that ask too often and bodies that are too large, and adds the headers."""

    def __init__(self, app: ASGIApp, limits: StudyLimits, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path
        self._limits = limits
        self._requests = RateLimit(limits.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._root_path:  # routes are found with and without it in front
            scope["root_path"] = self._root_path

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "/api/" in scope["path"]:
                    headers["cache-control"] = "no-store"
            await send(message)

        if wait := self._requests.wait(address_of(scope)):
            await too_often(wait)(scope, receive, send_with_headers)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not re.fullmatch(r"\d{1,15}", length) or int(length) > self._limits.body:
            refused = JSONResponse({"detail": "The request is too large."}, 413, {"connection": "close"})
            await refused(scope, receive, send_with_headers)
            return
        body = await self._whole_body(receive)
        if body is None:
            await JSONResponse({"detail": "The request is too large."}, 413)(scope, receive, send_with_headers)
            return
        told = False

        async def receive_again() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_again, send_with_headers)

    async def _whole_body(self, receive: Receive) -> bytes | None:
        """The body, also of a request that does not say how long it is; None past the limit."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return body
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limits.body:
                return None
        return body


def address_of(scope: Scope) -> str:
    """Network address of the caller: the proxy's, unless the server was told to trust one.

    Of an IPv6 address its network of 64 bits: one household or machine holds all addresses of such a network.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    try:
        version_6 = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if version_6.ipv4_mapped is not None:
        return str(version_6.ipv4_mapped)
    return str(IPv6Network((version_6, 64), strict=False))


def too_often(wait: float) -> JSONResponse:
    """The refusal of one who asks too often; `wait` in seconds."""
    seconds = str(int(wait) + 1)
    return JSONResponse({"detail": f"Too many requests; try again in {seconds} s."}, 429, {"retry-after": seconds})
