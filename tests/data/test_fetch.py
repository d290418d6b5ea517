"""Downloads from a server on this machine: bounded, hashed, one at a time, as robots.txt says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from mmbench.data.drawn_corpus import drawn_settings
from mmbench.data.fetch import Fetch, read_list
from mmbench.data.ledger import Ledger, run_stages
from mmbench.data.settings import FetchSettings
from mmbench.data.sources.laion import stages
from mmbench.data.stages import List, Work
from mmbench.data.types import Candidate
from mmbench.errors import ManifestError
from mmbench.files import silent

PICTURE = b"a picture"
BOUNDS = {"delay": 0.0, "internal": True, "picture_bytes": 1000}


class _Handler(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    now, most = 0, 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with self.lock:
            type(self).now += 1
            type(self).most = max(self.most, self.now)
            self.asked.append(self.path)
        time.sleep(0.02)  # long enough for another to arrive, if one were sent
        body = {"/robots.txt": b"User-agent: *\nDisallow: /no/\n", "/large": bytes(2000)}.get(self.path, PICTURE)
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with self.lock:
            type(self).now -= 1
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.asked, _Handler.most = [], 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as held:
        thread = threading.Thread(target=held.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{held.server_port}"
        held.shutdown()


def test_each_address_has_its_own_end(server: str, tmp_path: Path) -> None:
    good = hashlib.sha256(PICTURE).hexdigest()
    rows = [("/a", good), ("/b", "0" * 64), ("/no/c", ""), ("/gone", ""), ("/large", ""), ("/d", "")]
    listing = tmp_path / "urls.csv"
    lines = [f"{server}{path},{digest},cc0" for path, digest in rows]
    listing.write_text("\n".join(["url,sha256,licence", *lines, "ftp://x/y,,"]))
    work = Work(drawn_settings("A", listing, fetch=BOUNDS), tmp_path / "out", tools=None)  # type: ignore[arg-type]  # unused
    run_stages(stages(work)[:2], Candidate("start"), work.folder, silent)
    ledger = Ledger(work.folder / "fetch.jsonl")
    counts = ledger.counts()
    assert counts is not None
    named = {name: count for name, count in counts.dropped.items() if count}
    assert named == {"refused": 1, "robots": 1, "address": 2, "hash": 1}
    kept = list(ledger.kept())
    assert [row.facts for row in kept] == [{"sha256": good, "licence": "cc0"}] * 2
    assert all(work.place(row.file).read_bytes() == PICTURE for row in kept)
    assert _Handler.most == 1
    assert _Handler.asked.count("/robots.txt") == 1
    assert "/no/c" not in _Handler.asked


def test_addresses_of_this_network_are_refused_unless_allowed(server: str, tmp_path: Path) -> None:
    stage = Fetch(tmp_path, FetchSettings(delay=0), 1000)
    outcome = stage.decide((Candidate("A-0", f"{server}/a"),))
    assert [row.filter for row in outcome.dropped] == ["refused"]
    assert _Handler.asked == []


def test_lists_are_plain_or_tables(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("# a note\nhttps://a/1\n\nhttps://a/2\n")
    assert [row.origin for row in read_list(plain)] == ["https://a/1", "https://a/2"]
    table = tmp_path / "table.tsv"
    table.write_text("URL\tTEXT\tNSFW\nhttps://a/1\tx, y\tUNLIKELY\n")
    assert [(row.origin, row.facts) for row in read_list(table)] == [("https://a/1", {"nsfw": "UNLIKELY"})]
    columns = {"URL": ["https://a/1", None, "https://a/2"], "TEXT": ["x", "y", "z"], "NSFW": ["UNLIKELY", "", None]}
    pd.DataFrame(columns).to_parquet(tmp_path / "part.parquet")
    rows = [(row.origin, row.facts) for row in read_list(tmp_path / "part.parquet")]
    assert rows == [("https://a/1", {"nsfw": "UNLIKELY"}), ("https://a/2", {})]
    pd.DataFrame({"TEXT": ["x"]}).to_parquet(tmp_path / "none.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not at all PAR1")
    for name in ("none.parquet", "broken.parquet"):
        with pytest.raises(ManifestError, match=name):
            list(read_list(tmp_path / name))
    with pytest.raises(ManifestError, match="no such folder or list"):
        List(Work(drawn_settings("A", tmp_path / "none"), tmp_path, tools=None), videos=False).decides()  # type: ignore[arg-type]
