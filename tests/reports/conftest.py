"""Rows as a run would leave them, tiny real clips, and a headless browser driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.items import Item
from mmbench.metrics.base import MetricFacts
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError
from mmbench.scores import Provenance, Score


def _facts(name: str, title: str, higher: bool, **more: Any) -> MetricFacts:
    settings: dict[str, Any] = {"unit": "cosine", "range": (None, None), "column": True} | more
    return MetricFacts(name, title, higher, definition=f"What {title} is.", source="here", **settings)


@pytest.fixture(scope="session")
def facts() -> dict[str, MetricFacts]:
    """Facts of a few metrics, in column order, so that the tests depend on no metric module."""
    known = (
        _facts("dynamic_degree", "Dynamic degree", True, range=(0.0, 1.0), unit="share of clips"),
        _facts("inception_score", "Inception score", True, scope="set", decimals=2, unit="score"),
        _facts("id_similarity", "ID similarity", True, range=(-1.0, 1.0), caveats="Compressed scale."),
        _facts("id_margin", "ID margin", True, column=False),
        _facts("similarity_decay", "Similarity decay", False),
        _facts("fm_ref", "FM ref", True, range=(0.0, None)),
        _facts("fm_inter_rate", "FM inter, rate", True, range=(0.0, None), column=False),
    )
    return {fact.name: fact for fact in known}


MakeRow = Callable[..., ItemRow]


@pytest.fixture(scope="session")
def make_row() -> MakeRow:
    """A row of one clip; `scores` by metric: a number, or a Score."""

    def make(
        model: str,
        identity: str,
        prompt_index: int | None = 0,
        *,
        seed: int | None = 0,
        backend: str = "dlib",
        random_weights: bool = False,
        error: RowError | None = None,
        video: Path = Path("clip.mp4"),
        references: tuple[Path, ...] = (),
        prompt: str | None = "A person smiles",
        clip: MeasuredFile | None = None,
        extra: dict[str, str] | None = None,
        **scores: float | Score,
    ) -> ItemRow:
        made_by = Provenance(backend, {f"{backend}.dat": "0" * 64}, {}, random_weights)
        item = Item(
            id=f"{model}/{identity}/{prompt_index}/{seed}",
            model=model,
            identity=identity,
            video=video,
            references=references,
            prompt=prompt,
            prompt_index=prompt_index,
            seed=seed,
            extra=extra or {},
        )
        default = MeasuredFile(49, 720, 480, 8.0, "container", "f" * 64)
        return ItemRow(
            item=item,
            scores=tuple(
                value if isinstance(value, Score) else Score.ok(name, value, made_by) for name, value in scores.items()
            ),
            clip=None if error else clip or default,
            error=error,
        )

    return make


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real 12-frame H.264 file of 96x64 pixels."""
    from mmbench.video.write import write_video

    path = tmp_path_factory.mktemp("clip") / "moving.mp4"
    frames = [np.full((64, 96, 3), 20 * index, np.uint8) for index in range(12)]
    write_video(path, frames, 8.0)
    return path


class Browser:
    """One page of headless Chromium. Messages go through a pipe: no port, no web socket, no package."""

    def __init__(self, program: str, profile: Path) -> None:
        read_commands, self._out = os.pipe()
        self._in, write_events = os.pipe()
        options = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe "
            "--autoplay-policy=no-user-gesture-required --mute-audio --window-size=1280,900"
        )
        command = f'exec "$0" {options} --user-data-dir="$1" 3<&{read_commands} 4>&{write_events}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, program, str(profile)],
            pass_fds=(read_commands, write_events),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_events)
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer, noting errors that the page reports meanwhile."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path) -> None:
        """Load a local file and wait until all of it is there."""
        self.call("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression (promises are awaited)."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Poll a JavaScript condition for at most 20 s."""
        poll = (
            "new Promise(done => { const start = Date.now(); const look = () => "
            f"({condition}) ? done(true) : Date.now() - start > 20000 ? done(false) : setTimeout(look, 50); look(); }})"
        )
        assert self.run(poll), f"never true: {condition}"

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._out)
        os.close(self._in)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "the browser ended"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        event: dict[str, Any] = json.loads(line)
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(params["entry"]))
        elif event.get("method") == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.complaints.append(f"network request: {url}")
        return event


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A fresh browser; skipped where Chromium is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    opened = Browser(program, tmp_path / "profile")
    try:
        yield opened
    finally:
        opened.close()
