"""A server of this machine that speaks as much of the Hugging Face Hub's protocol as reading and writing files needs.

Repositories of data sets, one revision, small files ("regular" uploads): no LFS, no Xet, no buckets, no tokens. What it
answers follows what the client huggingface_hub asks and reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 4
"""Entries of a listing in one answer; the Hub has 1000."""


class Hub(ThreadingHTTPServer):
    """Files by repository ("name/repository") and path; `commits` counts what changed them.

    Nobody may write to repositories in `closed`, nor see those in `hidden`.
    """

    daemon_threads = True

    def __init__(self, *repositories: str) -> None:
        self.files: dict[str, dict[str, bytes]] = {name: {} for name in repositories}
        self.closed: set[str] = set()
        self.hidden: set[str] = set()
        self.commits = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Answers)

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(*repositories: str) -> Iterator[Hub]:
    """A hub that answers within the block."""
    hub = Hub(*repositories)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class Answers(BaseHTTPRequestHandler):
    """One request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Facts of a repository, a listing, or bytes."""
        url = urlsplit(self.path)
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(/revision/[^/]+)?", url.path):
            if self._files(found[1]) is not None:
                self._send({"id": found[1], "sha": f"{self.server.commits:040x}", "siblings": [], "tags": []})
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/main(?:/(.*))?", url.path):
            self._tree(found[1], unquote(found[2] or "").strip("/"), parse_qs(url.query))
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/main/(.*)", url.path):
            self._bytes(found[1], unquote(found[2]))
        else:
            self._refuse("RevisionNotFound")

    def do_POST(self) -> None:
        """What is known of paths, how files are to be sent, and files."""
        body = self._body()
        found = re.fullmatch(
            r"/api/datasets/([^/]+/[^/]+)/(paths-info|preupload|commit)/main", urlsplit(self.path).path
        )
        if found is None:
            self._refuse("RevisionNotFound")
            return
        if (files := self._files(found[1])) is None:
            return
        if found[2] == "paths-info":
            asked = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
            self._send([_entry(path, files[path]) for path in asked if path in files])
        elif found[2] == "preupload":
            told = []
            for file in json.loads(body)["files"]:
                path = file["path"]
                oid = _oid(files[path]) if path in files else None
                told.append({"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": oid})
            self._send({"files": told})
        elif found[1] in self.server.closed:
            self._answer(403, b'{"error": "You may not write here."}')
        else:
            self._commit(found[1], files, [json.loads(line) for line in body.splitlines() if line])

    def _commit(self, name: str, files: dict[str, bytes], lines: list[dict[str, Any]]) -> None:
        with self.server.lock:
            self.server.commits += 1
            for line in lines:
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    files.pop(line["value"]["path"])
        oid = f"{self.server.commits:040x}"
        url = f"{self.server.endpoint}/datasets/{name}/commit/{oid}"
        self._send({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _tree(self, name: str, below: str, query: dict[str, list[str]]) -> None:
        files = self._files(name)
        if files is None:
            return
        start = f"{below}/" if below else ""
        inside = {path: data for path, data in sorted(files.items()) if path.startswith(start)}
        if below and not inside:
            self._refuse("EntryNotFound")
            return
        folders = {path[: at.end() - 1] for path in inside for at in re.finditer("/", path) if at.end() > len(start)}
        entries = [{"type": "directory", "oid": _oid(b""), "size": 0, "path": path} for path in sorted(folders)]
        entries += [_entry(path, data) for path, data in inside.items()]
        if query.get("recursive", ["false"])[0].lower() != "true":
            entries = [entry for entry in entries if "/" not in str(entry["path"])[len(start) :]]
        first = int(query.get("cursor", ["0"])[0])
        headers = {}
        if first + PAGE < len(entries):
            kept = "".join(f"{key}={value[0]}&" for key, value in query.items() if key != "cursor")
            there = f"{self.server.endpoint}{urlsplit(self.path).path}?{kept}cursor={first + PAGE}"
            headers["Link"] = f'<{there}>; rel="next"'
        self._send(entries[first : first + PAGE], headers)

    def _bytes(self, name: str, path: str) -> None:
        files = self._files(name)
        if files is None:
            return
        if path not in files:
            self._refuse("EntryNotFound")
            return
        data = files[path]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, data)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        self._answer(206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def _files(self, name: str) -> dict[str, bytes] | None:
        if name in self.server.hidden:
            self._answer(401, b'{"error": "Invalid username or password."}')
            return None
        if (files := self.server.files.get(name)) is None:
            self._refuse("RepoNotFound")
        return files

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _refuse(self, code: str) -> None:
        self._answer(404, b"{}", {"X-Error-Code": code})

    def _send(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def _oid(data: bytes) -> str:
    """The digest that git gives to a file of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "oid": _oid(data), "size": len(data), "path": path}
