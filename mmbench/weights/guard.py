"""Connections of a download under guard: whom they reach in the end, and that they end in time."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class DownloadError(MMBenchError):
    """A file could not be fetched: refused address, HTTP status, too large, too slow, cut off."""


def literal_address(host: str) -> Address | None:
    """The address that a host name spells, in any of the ways systems read: 127.1, 0x7f.1, 2130706433; else None."""
    try:
        return _plain(ipaddress.ip_address(host.strip("[]").split("%")[0]))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if not any(c.isspace() for c in host) else None
    except (OSError, UnicodeError):
        return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    address = literal_address(host)
    return address.is_loopback if address else _is_local_name(host)


def is_internal(host: str) -> bool:
    """Whether a host name or address is, by itself, one of this machine or network; other names are not looked up."""
    address = literal_address(host)
    return not address.is_global if address else _is_local_name(host)


class Guard:
    """What one download's connections may do, redirect by redirect.

    `outside` is whether one of them has left this network: then none may lead back into it, whatever its name says,
    for the address counts that was connected to. `deadline` (monotonic seconds) ends every wait, headers that come byte
    by byte too.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.outside = False
        self.expired = False
        self._reached: Address | None = None
        self._sockets: list[socket.socket] = []

    def admit(self, connected: socket.socket, host: str, proxied: bool) -> socket.socket:
        """The socket, if it may be used. Raises DownloadError where it leads inside after a redirect from outside."""
        peer = connected.getpeername()[0] if connected.family in (socket.AF_INET, socket.AF_INET6) else ""
        self._reached = None if proxied else literal_address(peer)
        if self.outside and self._reached is not None and not self._reached.is_global:
            connected.close()
            raise DownloadError(
                f"Refused a redirect to {host}: it leads to {peer}, an internal address.",
                "Get the file by other means.",
            )
        self._sockets.append(connected.dup())
        if self.expired:
            self._end()
        return connected

    def left(self, host: str) -> None:
        """Note where a redirect comes from: what was reached there, or, through a proxy, what its name says."""
        inside = not self._reached.is_global if self._reached is not None else is_internal(host)
        self.outside = self.outside or not inside

    @contextmanager
    def until(self, seconds: float) -> Iterator[None]:
        """End whatever is waited for inside after so many seconds, or at the deadline: `expired` then says so."""
        wait = min(seconds, self.deadline - time.monotonic())
        timer = threading.Timer(min(max(0.0, wait), threading.TIMEOUT_MAX), self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Forget all connections."""
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    def _expire(self) -> None:
        self.expired = True
        self._end()

    def _end(self) -> None:
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def guarded_session(guard: Guard) -> Session:
    """A requests session whose connections `guard` admits; it sends no credentials that its addresses do not hold.

    Proxies and certificates of the environment stay in use.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from requests.auth import AuthBase

    class Nobody(AuthBase):
        """In the place where requests would look into the user's netrc."""

        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            return request

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
            super().init_poolmanager(*arguments, **named)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
            manager = super().proxy_manager_for(*arguments, **named)
            manager.pool_classes_by_scheme = pools
            return manager

    pools = _pools(guard)
    session = requests.Session()
    session.auth = Nobody()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())
    return session


def _pools(guard: Guard) -> dict[str, Any]:
    """urllib3's pools with connections that ask the guard as soon as they reach somebody, before a byte is sent."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return guard.admit(super()._new_conn(), self.host, bool(getattr(self, "proxy", None)))

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return guard.admit(super()._new_conn(), self.host, bool(getattr(self, "proxy", None)))

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _is_local_name(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _plain(address: Address) -> Address:
    """The IPv4 address inside one of IPv6's that stand for it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
