"""A model in another Python environment, behind the same interface: for upstream code that needs older libraries."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbench import errors
from mmbench.baselines.contract import Baseline, Native, Parameters, PromptKind, Request, Setting, Video
from mmbench.baselines.remote import wire
from mmbench.errors import GenerationError, MMBenchError, RequestError

START_SECONDS = 300.0
"""Importing a model's libraries on a busy machine takes minutes at worst."""


class Remote(Baseline):
    """`name` run by `python`, an interpreter whose environment has mmbench (`pip install --no-deps`) and the model.

    The process starts on first use. It is killed when a call takes longer than `timeout` seconds; the next `load`
    starts a new one. Errors of the model arrive as what they are here: MMBenchError types by name, everything else as
    GenerationError with the far traceback on this side's stderr.
    """

    def __init__(
        self,
        name: str,
        python: str | Path = sys.executable,
        prompt_kind: PromptKind | None = None,
        timeout: float = 3600.0,
        environment: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.name = name  # type: ignore[misc]
        self._command = [str(python), "-m", "mmbench.baselines.remote.worker", name]
        self._environment = dict(environment)
        self._timeout = timeout
        self._asked_kind = prompt_kind
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._ids = itertools.count()
        about = self._call("describe", START_SECONDS)
        self.name = about["name"]  # type: ignore[misc]
        self.licence = about["licence"]  # type: ignore[misc]
        self._versions = dict(about["versions"])
        self.kind = about["kind"]  # type: ignore[misc]
        self.variants = tuple(about["variants"])  # type: ignore[misc]
        self.tiny_variants = tuple(about["tiny_variants"])  # type: ignore[misc]
        self.needs_trigger = about["needs_trigger"]  # type: ignore[misc]
        self.edition = about["edition"]  # type: ignore[misc]
        self._recognisers = {key: tuple(names) for key, names in about.get("recognisers", {}).items()}
        self._native = {key: wire.native_from_json(value) for key, value in about["native"].items()}
        super().__init__(about["prompt_kind"])

    def recognisers(self, variant: str) -> tuple[str, ...]:
        return self._recognisers.get(variant, ())

    def native(self, variant: str | None = None) -> Native:
        return self._native[self.pick_variant(variant)]

    def check(self, request: Request, variant: str | None = None) -> None:
        with tempfile.TemporaryDirectory(prefix="mmbench-") as folder:
            document = wire.request_to_json(request, Path(folder))
            self._call("check", START_SECONDS, request=document, variant=variant)

    def resolve_options(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        return dict(self._call("options", START_SECONDS, options=dict(given))["resolved"])

    def changed_options(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        return dict(self._call("options", START_SECONDS, options=dict(given))["changed"])

    def require(self, weights_dir: Path, variant: str) -> None:
        self._call("require", self._timeout, weights_dir=str(weights_dir.resolve()), variant=variant)

    def weights_in_use(self, weights_dir: Path, variant: str) -> list[dict[str, str]]:
        return list(self._call("weights", self._timeout, weights_dir=str(weights_dir.resolve()), variant=variant))

    def versions(self) -> dict[str, str]:
        return self._versions

    def load(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        self._call(
            "load", self._timeout, device=device, dtype=dtype, variant=variant, weights_dir=str(weights_dir.resolve())
        )

    def generate(self, request: Request) -> Video:
        with tempfile.TemporaryDirectory(prefix="mmbench-") as name:
            folder = Path(name)
            document = wire.request_to_json(request, folder)
            found = self._call("generate", self._timeout, request=document, frames=str(folder / "frames.npy"))
            return wire.video_from_json(found)

    def parameters(self) -> Parameters:
        return wire.parameters_from_json(self._call("parameters", START_SECONDS))

    def close(self) -> None:
        """End the process; memory on the accelerator goes with it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        import os

        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONSAFEPATH": "1", **self._environment},
        )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
        self._process, self._lines = process, lines
        return process

    def _call(self, op: str, timeout: float, **args: Any) -> Any:
        process = self._process or self._start()
        assert process.stdin is not None
        number = next(self._ids)
        message = {"id": number, "op": op, "args": {**args, "prompt_kind": self._asked_kind}}
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._kill()
            raise GenerationError(
                f"{self.name} did not answer {op!r} within {timeout:.0f} s; its process was ended.",
                "Raise the timeout, or look at what it wrote above.",
            ) from None
        except BrokenPipeError:
            line = None
        if line is None:
            code = process.wait()
            self._process = None
            raise GenerationError(
                f"The process of {self.name} ended with exit code {code} during {op!r}.",
                "Its last words are above; load the model again to restart it."
                if op != "describe"
                else "Its last words are above; its environment needs mmbench (pip install --no-deps mmbench), numpy, "
                "Pillow and the model's own packages.",
            )
        reply = json.loads(line)
        if reply["id"] != number:
            self._kill()
            raise GenerationError(f"{self.name} answered {reply['id']} to {number}.", "Load it again.")
        if reply["ok"]:
            return reply["result"]
        raise _rebuild(self.name, reply)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _rebuild(name: str, reply: dict[str, Any]) -> MMBenchError:
    """The far error as one of ours; foreign errors become GenerationError, their traceback on stderr."""
    error = reply["error"]
    cls = getattr(errors, error["type"], None)
    if isinstance(cls, type) and issubclass(cls, MMBenchError):
        return cls(error["message"], error["remedy"])
    print(reply["trace"], file=sys.stderr)
    if error["type"] == "KeyError":
        return RequestError(f"{name} does not know {error['message']}.", "Its mmbench may be of another version.")
    return GenerationError(f"{name} failed with {error['type']}: {error['message']}.", "Its traceback is above.")
