"""A small file server on loopback with the faults real servers have, and an empty cache for every test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Served:
    """One address of the server: its bytes and its fault.

    `cut` closes the connection after that many bytes of an answer, `cuts_left` times; `redirect` sends
    elsewhere; `ranges` says whether resuming is supported; `tag` is the ETag; `no_length` leaves
    Content-Length out; `says` are further headers of a redirect.
    """

    body: bytes = b""
    status: int = 200
    cut: int | None = None
    cuts_left: int = 0
    redirect: str = ""
    ranges: bool = True
    tag: str = '"v1"'
    no_length: bool = False
    says: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    url: str = ""
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: ThreadingHTTPServer

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        state: Server = self.server.state  # type: ignore[attr-defined]
        wanted = self.headers.get("Range", "")
        state.requests.append((self.path, wanted))
        served = state.files.get(self.path)
        if served is None:
            self.send_error(404)
            return
        if served.redirect:
            self.send_response(302)
            self.send_header("Location", served.redirect)
            for name, value in served.says.items():
                self.send_header(name, value)
            self.end_headers()
            return
        start = 0
        if wanted and served.ranges and self.headers.get("If-Range") == served.tag:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        rest = served.body[start:]
        self.send_response(206 if start else served.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(served.body) - 1}/{len(served.body)}")
        if not served.no_length:
            self.send_header("Content-Length", str(len(rest)))
        if served.tag:
            self.send_header("ETag", served.tag)
        self.end_headers()
        if served.cut is not None and served.cuts_left > 0:
            served.cuts_left -= 1
            rest = rest[: served.cut]
        self.wfile.write(rest)


@pytest.fixture
def server() -> Iterator[Server]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    state = Server(url=f"http://127.0.0.1:{http.server_port}")
    http.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(folder))
    monkeypatch.delenv("MMBENCH_OFFLINE", raising=False)
    monkeypatch.delenv("MMBENCH_MIRROR", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def served() -> type[Served]:
    return Served
