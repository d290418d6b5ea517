"""A picture server on loopback with every fault, and PubFig lists that point to it."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve()


@cache
def picture(seed: int, size: tuple[int, int] = (400, 300)) -> bytes:
    """A JPEG that differs for every seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).resize(size).save(data, "JPEG")
    return data.getvalue()


@dataclass
class PictureServer:
    url: str = ""
    requests: list[str] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    """/good/N serves picture N; the other first parts of a path are the faults."""

    server: ThreadingHTTPServer

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        state: PictureServer = self.server.state  # type: ignore[attr-defined]
        state.requests.append(self.path)
        kind, _, number = self.path.strip("/").partition("/")
        if kind == "dead":
            self.send_error(410)
        elif kind == "redirect":
            self._redirect(f"/good/{number}")
        elif kind == "loop":
            self._redirect(self.path)
        elif kind == "scheme":
            self._redirect("ftp://127.0.0.1/picture.jpg")
        elif kind == "html":
            self._send(b"<html>This picture was removed</html>")
        elif kind == "huge":
            self._send(b"\xff" * 300_000)
        elif kind == "slow":
            self._trickle(picture(int(number)))
        else:
            self._send(picture(int(number)))

    def _redirect(self, target: str) -> None:
        self.send_response(301)
        self.send_header("Location", target)
        self.end_headers()

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body[:400]:
            try:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)


@pytest.fixture(scope="module")
def pictures() -> Iterator[PictureServer]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        yield from _serve()


def _serve() -> Iterator[PictureServer]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    state = PictureServer(url=f"http://127.0.0.1:{http.server_port}")
    http.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(scope="module")
def write_list(tmp_path_factory: pytest.TempPathFactory, pictures: PictureServer):
    """write_list(rows) with rows of (person, image number, path on the server[, box[, md5]])."""

    def write(rows: list[tuple], name: str = "dev_urls.txt") -> Path:
        lines = [f"# PubFig Dataset v1.2 - {name} -", "#\tperson\timagenum\turl\trect\tmd5sum"]
        for person, number, path, *more in rows:
            box = more[0] if more else "100,60,260,220"
            seed = int("".join(filter(str.isdigit, path)) or 0)
            md5 = more[1] if len(more) > 1 else hashlib.md5(picture(seed)).hexdigest()
            lines.append(f"{person}\t{number}\t{pictures.url}{path}\t{box}\t{md5}")
        file = tmp_path_factory.mktemp("lists") / name
        file.write_text("\n".join(lines) + "\n")
        return file

    return write


@pytest.fixture(scope="session")
def make_picture():
    return picture


@pytest.fixture(scope="session")
def vbench_prompts() -> Path:
    import os

    default = HERE.parents[2].parent / "shared" / "vbench_prompts"
    folder = Path(os.environ.get("MMBENCH_VBENCH_PROMPTS", default))
    if not (folder / "human.txt").is_file():
        pytest.skip("VBench's prompt files are not here: set MMBENCH_VBENCH_PROMPTS")
    return folder


@pytest.fixture
def tiny_testset(tmp_path: Path) -> Path:
    """A well-formed set of two identities with two prompts each."""
    import json

    folder = tmp_path / "tinyset"
    rows = []
    lines = ["identity,prompt_index,prompt_id,prompt,prompt_long"]
    for number, (name, group) in enumerate((("ann", "woman"), ("old_tom", "elderly man"))):
        reference = f"references/{name}_1.png"
        (folder / "references").mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(picture(number))).save(folder / reference)
        word = group.split()[-1]
        rows.append({"id": name, "group": group, "class_word": word, "references": [reference]})
        lines += [f'{name},{i},own:{i},a {group} img waves,"a {group} img waves, slowly, {i}"' for i in range(2)]
    (folder / "identities.json").write_text(json.dumps({"name": "tinyset", "licence": "CC0", "identities": rows}))
    (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
    return folder
