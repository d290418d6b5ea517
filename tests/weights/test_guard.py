"""Where connections lead, how long they may take, what they carry."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mmbench.weights.guard import Guard, guarded_session, is_internal, is_loopback, literal_address
from mmbench.weights.http import DownloadError, Limits, UnknownHost, check_address, download

INSIDE = ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"]
INSIDE += ["localhost", "LOCALHOST.", "x.localhost", "[64:ff9b::7f00:1]", "[fe80::1]", "0", "0.0.0.0"]


@pytest.mark.parametrize("host", INSIDE)
def test_a_redirect_inside_is_refused_however_it_is_spelt(host: str) -> None:
    limits = Limits(max_bytes=9, plain_http=True)
    assert is_internal(host.strip("[]"))
    with pytest.raises(DownloadError, match="Refused"):
        check_address(f"https://{host}/secret", limits, "https://example.org/net.pth")
    check_address(f"https://{host}/net.pth", limits)  # an address that the user gives is the user's


@pytest.mark.parametrize("host", ["example.org", "93.184.216.34", "2606:2800:220:1::1", "localhost.example.org", "a b"])
def test_other_hosts_are_outside(host: str) -> None:
    assert not is_internal(host) and not is_loopback(host)
    assert (literal_address(host) is None) == (("." in host and "org" in host) or " " in host)


@dataclass
class Raw:
    """A server that writes what it is told, byte by byte where `slowly`, and keeps what it is asked."""

    url: str = ""
    port: int = 0
    answer: bytes = b""
    slowly: bool = False
    closing: threading.Event = field(default_factory=threading.Event)
    asked: list[bytes] = field(default_factory=list)


@pytest.fixture
def raw() -> Iterator[Raw]:
    state = Raw()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            state.asked.append(self.request.recv(65536))
            if not state.slowly:
                self.request.sendall(state.answer)
                return
            try:
                while not state.closing.is_set():  # no end of the headers ever comes
                    self.request.sendall(state.answer[:1])
                    state.answer = state.answer[1:] or b"x"
                    time.sleep(0.02)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        state.url = f"http://127.0.0.1:{state.port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield state
        state.closing.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_what_comes_byte_by_byte_ends_at_the_deadline(raw: Raw, tmp_path: Path, begun: bytes) -> None:
    raw.answer, raw.slowly = begun, True
    with pytest.raises(DownloadError, match=r"not finished in 1 s"):  # else it would never return
        download(f"{raw.url}/x", tmp_path / "x", Limits(max_bytes=10**6, total_seconds=1, read_seconds=60))
    assert not (tmp_path / "x").exists()


def test_headers_without_an_end_end_without_a_deadline_too(raw: Raw, tmp_path: Path) -> None:
    raw.answer, raw.slowly = b"HTTP/1.1 200 OK\r\nX-A: ", True
    limits = Limits(max_bytes=10**6, header_seconds=0.5, attempts=2, pause_seconds=0.01)
    with pytest.raises(DownloadError, match=r"failed 2 times .*no answer within 0\.5 s"):
        download(f"{raw.url}/x", tmp_path / "x", limits)


def test_a_name_that_leads_inside_is_refused_before_a_byte_is_sent(raw: Raw) -> None:
    guard = Guard(time.monotonic() + 60)
    guard.outside = True  # as after a redirect from somewhere else
    with guarded_session(guard) as session, pytest.raises(DownloadError, match=r"leads to 127\.0\.0\.1"):
        session.get(f"http://localhost:{raw.port}/x", timeout=10)
    guard.close()
    assert not any(raw.asked)


def test_redirects_are_outside_once_they_have_been_there(raw: Raw) -> None:
    guard = Guard(time.monotonic() + 60)
    with socket.create_connection(("127.0.0.1", raw.port)) as connected:
        guard.admit(connected, "localhost", proxied=False)
    guard.left("mirror.example.org")  # a name for this machine: the user's own mirror
    assert not guard.outside
    with socket.create_connection(("127.0.0.1", raw.port)) as connected:
        guard.admit(connected, "example.org", proxied=True)
    guard.left("example.org")  # through a proxy nothing but the name is known
    assert guard.outside
    guard.close()


def test_credentials_of_netrc_stay_at_home(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    raw.answer = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
    download(f"{raw.url}/x", tmp_path / "x", Limits(max_bytes=9))
    download(f"http://you:word@127.0.0.1:{raw.port}/x", tmp_path / "y", Limits(max_bytes=9))
    assert (tmp_path / "x").read_bytes() == b"ok"
    assert [b"Authorization" in asked for asked in raw.asked] == [False, True]


def test_the_host_that_is_gone_is_the_one_named(raw: Raw, tmp_path: Path) -> None:
    raw.answer = b"HTTP/1.0 302 Found\r\nLocation: http://gone.invalid/x\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(UnknownHost, match=r"host gone\.invalid is not known") as error:
        download(f"{raw.url}/x", tmp_path / "x", Limits(max_bytes=9, plain_http=True, attempts=1))
    assert error.value.host == "gone.invalid"


@pytest.mark.parametrize("address", ["http://[::1", "http://a:port/x", "http://" + "a" * 300 + ".org/x", "http:///x"])
def test_an_address_that_is_none_is_said(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError):
        download(address, tmp_path / "x", Limits(max_bytes=9, plain_http=True, attempts=1))


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1", "1_0"])
def test_a_length_that_is_none_is_no_length(raw: Raw, tmp_path: Path, length: str) -> None:
    raw.answer = f"HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\nok".encode()
    try:
        download(f"{raw.url}/x", tmp_path / "x", Limits(max_bytes=9, attempts=1))
    except DownloadError:
        return
    assert (tmp_path / "x").read_bytes() == b"ok"
