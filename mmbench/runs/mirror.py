"""Runs in remote storage: worked on in a folder of this machine, which takes what is there and brings what is new.

Nothing that one machine wrote is overwritten by another: files of rows and records carry the mirror's own mark there.
What can be made again (reference faces, features of sets, a report) is the last writer's.
"""

from __future__ import annotations

import json
import platform
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from mmbench.engine.claims import Claims
from mmbench.errors import ManifestError, MMBenchError, RemoteError
from mmbench.files import cache_folder, read_json, sha256, whole, write_json
from mmbench.names import is_plain
from mmbench.remote.cache import most_bytes
from mmbench.remote.path import path_of
from mmbench.remote.schemes import is_url
from mmbench.remote.storage import ObjectFacts, download, listed, upload
from mmbench.runs.evaluate.record import MANIFEST, read_record
from mmbench.runs.evaluate.session import RECORD
from mmbench.runs.evaluate.store import ROWS

STATE, LOCK, RECORDS, COPIES = ".mirror.json", ".mirror.lock", "records", "copies"
PUSH_SECONDS = 30.0
"""Between two looks at what is new here while a command works."""


@contextmanager
def mirrored(run: Path | str, *, write: bool = True) -> Iterator[Path]:
    """The folder to work in: `run` itself, or, of a URL, this machine's copy of it.

    At the start it takes what is there. With `write` it brings what is new twice a minute and at the end, whatever the
    end is; where that fails, it all stays here, and the next command on the same URL brings it. Processes of this
    machine share one copy, and so the work; of several machines each does what it is given (`--shard`), and what the
    others had brought when it began. Raises RemoteError, MissingDependency.
    """
    if not is_url(run):
        yield Path(run)
        return
    mirror = _Mirror(str(path_of(run)))
    mirror.pull()
    if not write:
        yield mirror.folder
        return
    mirror.begin()
    ended = threading.Event()
    thread = threading.Thread(target=mirror.keep_pushing, args=(ended,), name="mirror", daemon=True)
    thread.start()
    try:
        yield mirror.folder
    except BaseException:
        ended.set()
        thread.join()
        with suppress(MMBenchError):  # what went wrong first is told; the rest comes with the next command
            mirror.push()
        raise
    ended.set()
    thread.join()
    mirror.push()


@contextmanager
def all_mirrored(runs: Sequence[Path | str], *, write: bool = True) -> Iterator[list[Path]]:
    """As `mirrored`, of several runs."""
    with ExitStack() as stack:
        yield [stack.enter_context(mirrored(run, write=write)) for run in runs]


class _Mirror:
    """The copy of the run at `url`. `mark` tells this copy's files there from those of others."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.url.rpartition("/")[2])[:40]
        self.folder = cache_folder("runs") / f"{name}-{sha256(self.url.encode(errors='surrogatepass'))[:16]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self.mark = str(self._state()["mark"])

    def pull(self) -> None:
        """Take what others have brought since, and merge their records into this copy's."""
        with self._alone():
            found = {name: facts for name, facts in listed(self.url).items() if is_plain(name)}
            if (size := sum(facts.size for facts in found.values())) > most_bytes():
                raise RemoteError(f"{self.url}: holds {size} bytes, which is no run.", "Or raise MMBENCH_REMOTE_BYTES.")
            state = self._state()
            known: dict[str, Any] = state["files"]
            records = any(name.startswith(f"{RECORDS}/") for name in found)
            for name, facts in found.items():
                if name == MANIFEST and records:
                    continue  # for readers of the storage itself; the records say more
                self._take(name, facts, known)
            write_json(self.folder / STATE, state)
        others = [place for place in sorted((self.folder / f".{RECORDS}").glob("*")) if place.name != self.mark]
        if others:
            with Claims(self.folder) as claims, claims.only(RECORD):
                self._merge([record for place in others if (record := read_record(place))])

    def begin(self) -> None:
        """Say there that this copy is at work: where nothing can be written, that is told before the work is done."""
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_json(self.folder / COPIES / f"{self.mark}.json", {"machine": platform.node(), "since": since})
        self.push()

    def push(self) -> None:
        """Bring what is new here. Raises RemoteError that says where it stays."""
        try:
            with self._alone():
                state = self._state()
                try:
                    for path in sorted(self.folder.rglob("*")):
                        self._bring(path, state["files"])
                finally:
                    write_json(self.folder / STATE, state)
        except RemoteError as cause:
            said = f"{cause.message} What was measured is in {self.folder}."
            raise RemoteError(said, "Run the same command again to bring it there.") from cause

    def keep_pushing(self, ended: threading.Event) -> None:
        """Bring what is new until the command has ended; a failure is told once, and tried again."""
        told = False
        while not ended.wait(PUSH_SECONDS):
            try:
                self.push()
            except Exception as cause:
                if not told:
                    warnings.warn(f"{cause}", stacklevel=2)
                told = True

    def _take(self, name: str, facts: ObjectFacts, known: dict[str, Any]) -> None:
        """Fetch one object, unless this copy has it, wrote it or has changed it."""
        here = self._here(name)
        entry = known.get(here)
        path = self.folder / here
        stamp = _stamp(path)
        if entry is None and stamp is not None:
            return  # made here, and not brought yet
        if entry and entry["mine"] and here == name and _are_rows(name):
            return  # put there by hand, under a name of this copy's
        if entry and stamp is not None:
            if entry["there"] == facts.version or stamp != entry["here"]:
                return
            if entry["there"] is None and (here != name or stamp[0] == facts.size):
                entry["there"] = facts.version  # what this copy brought
                return
        with whole(path) as part:
            download(f"{self.url}/{name}", part, facts)
        known[here] = {"here": _stamp(path), "there": facts.version, "mine": here != name}

    def _bring(self, path: Path, known: dict[str, Any]) -> None:
        """Put one file there if it is new or another one than before."""
        here = path.relative_to(self.folder).as_posix()
        if not is_plain(here) or path.is_symlink() or not path.is_file():
            return
        stamp, entry = _stamp(path), known.get(here)
        if stamp is None or not stamp[0] or (entry and entry["here"] == stamp):
            return
        mine = entry is None or entry["mine"]
        there = [self._there(here) if mine else here]
        if here == MANIFEST:
            there = [f"{RECORDS}/{self.mark}.json", MANIFEST]
        for name in there:
            upload(path, f"{self.url}/{name}")
        known[here] = {"here": stamp, "there": None, "mine": mine}

    def _there(self, here: str) -> str:
        """What a file of this copy is called there: rows are told from those of other copies."""
        path = PurePosixPath(here)
        return f"{ROWS}/{path.stem}_{self.mark}{path.suffix}" if _are_rows(here) else here

    def _here(self, name: str) -> str:
        """What an object is called in this copy: rows of its own as they were, records of others aside."""
        path = PurePosixPath(name)
        if _are_rows(name):
            return f"{ROWS}/{path.stem.removesuffix(f'_{self.mark}')}{path.suffix}"
        return f".{RECORDS}/{path.stem}/{MANIFEST}" if path.parts[0] == RECORDS else name

    def _merge(self, others: Sequence[Mapping[str, Any]]) -> None:
        """Add to this copy's record what others did that it does not know of."""
        own = read_record(self.folder)
        merged = merge_records(sorted([*([own] if own else []), *others], key=_last, reverse=True))
        if merged and merged != own:
            write_json(self.folder / MANIFEST, merged)

    def _state(self) -> dict[str, Any]:
        """What was brought and taken so far; of a new copy, nothing."""
        with suppress(FileNotFoundError, ManifestError, KeyError, TypeError):
            state = read_json(self.folder / STATE)
            if isinstance(state["mark"], str) and isinstance(state["files"], dict):
                return dict(state)
        state = {"url": self.url, "mark": uuid4().hex[:8], "files": {}}
        write_json(self.folder / STATE, state)
        return state

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process of this machine brings or takes."""
        import filelock

        with filelock.FileLock(self.folder / LOCK):
            yield


def merge_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record of several copies of a run, the newest first: its settings, everybody's commands, weights and clips.

    Clips of a command that the newest record does not know of are added; what it knows of, it has kept or left out.
    """
    if not records:
        return {}
    merged = {**records[0], "attempts": list(records[0]["attempts"]), "items": list(records[0]["items"])}
    merged["parts"] = list(records[0].get("parts") or [len(merged["items"])])
    merged["weights"] = dict(records[0].get("weights", {}))
    for record in records[1:]:
        known = {_told(attempt) for attempt in merged["attempts"]}
        unknown = [attempt for attempt in record["attempts"] if _told(attempt) not in known]
        if not unknown:
            continue
        named = {item["id"] for item in merged["items"]}
        more = [item for item in record["items"] if item["id"] not in named]
        merged["attempts"] = sorted([*merged["attempts"], *unknown], key=lambda attempt: str(attempt.get("started")))
        merged["items"] += more
        merged["parts"] += [len(more)] if more else []
        merged["weights"] = {**record.get("weights", {}), **merged["weights"]}
    return merged


def _told(attempt: Mapping[str, Any]) -> str:
    """What tells a command from others; notes may still be added to it."""
    return json.dumps([attempt.get(name) for name in ("started", "command", "attempt", "shard")])


def _last(record: Mapping[str, Any]) -> str:
    return max((str(attempt.get("started")) for attempt in record["attempts"]), default="")


def _are_rows(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parts[0] == ROWS and path.suffix == ".jsonl" and len(path.parts) == 2


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
