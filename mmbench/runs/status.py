"""How far a run has come: what is done, what failed and why, what is missing and in which parts; who is at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmbench.engine.claims import Claims
from mmbench.engine.shard import Shard, shard_number
from mmbench.errors import ManifestError, RequestError
from mmbench.files import read_json
from mmbench.runs.evaluate.index import Brief, RowIndex
from mmbench.runs.evaluate.record import MANIFEST, read_record
from mmbench.runs.evaluate.store import ROWS, read_rows
from mmbench.runs.generate.folder import RUN

State = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class PartStatus:
    """How many items of part `index` (from 1) are done, failed, missing."""

    index: int
    done: int
    failed: int
    missing: int


@dataclass(frozen=True)
class RunStatus:
    """`what` a run is of: "clips" measured or "videos" made. `reasons` of failures with their counts, most first.

    `at_work` is what the living processes say of themselves: "process", "machine", "since".
    """

    run: Path
    what: str
    parts: tuple[PartStatus, ...]
    reasons: tuple[tuple[str, int], ...] = ()
    at_work: tuple[Mapping[str, Any], ...] = ()

    @property
    def whole(self) -> PartStatus:
        """All parts together, as part 0."""
        parts = self.parts
        return PartStatus(0, sum(p.done for p in parts), sum(p.failed for p in parts), sum(p.missing for p in parts))

    @property
    def resubmit(self) -> tuple[int, ...]:
        """The parts, from 1, of which something is missing."""
        return tuple(part.index for part in self.parts if part.missing)


def run_status(run: Path | str, parts: int | None = None) -> RunStatus:
    """How far the evaluation or generation in `run` has come, by `parts`: as many as its commands had, by default.

    Rows are counted as they are; whether their numbers still hold is found out by the next `evaluate`. Raises
    ManifestError where `run` is no run, or holds a damaged row, RequestError for less than one part.
    """
    run = Path(run)
    if parts is not None and parts < 1:
        raise RequestError(f"{parts} parts are none.", "Give a number from 1.")
    if (run / RUN).is_file():
        what, states, reasons, record = "videos", *_videos(run)
    elif (run / MANIFEST).is_file() or (run / ROWS).is_dir():
        what, states, reasons, record = "clips", *_clips(run)
    else:
        read_rows(run)  # says what is wrong with the folder
        raise ManifestError(f"{run}: not a run.", "Name the folder that `mmbench evaluate` or `generate` wrote.")
    count = parts or _parts_of(record.get("attempts", ()))
    counted = Counter((shard_number(name, count), state) for name, state in states.items())
    by_part = tuple(
        PartStatus(index, counted[index, "done"], counted[index, "failed"], counted[index, "missing"])
        for index in range(1, count + 1)
    )
    others = tuple(said for said in Claims(run).others() if said.get("work"))
    return RunStatus(run, what, by_part, tuple(Counter(reasons).most_common()), others)


def _clips(run: Path) -> tuple[dict[str, State], list[str], dict[str, Any]]:
    """State of every clip that a run's record names, else of every row."""
    kept = RowIndex(run, light=True)
    kept.refresh()
    record = read_record(run)
    videos = {item["id"]: str(item.get("video", "")) for item in record.get("items", ())} or dict.fromkeys(
        kept.briefs, ""
    )
    states: dict[str, State] = {}
    reasons = []
    for name, video in videos.items():
        brief = kept.briefs.get(name)
        why = _failure(brief, video) if brief else None
        states[name] = _state(brief is not None, bool(why))
        reasons += [why] if why else []
    return states, reasons, record


def _failure(brief: Brief, video: str) -> str | None:
    """Why an item is not all there: the clip's error, else that of the first metric that failed. Its name is left out,
    so that equal reasons are told once."""
    if brief.error:
        said = f"{brief.error.type}: {brief.error.message}"
    else:
        broken = [score for score in brief.lacks if score.status == "error"]
        said = f"{broken[0].metric}: {broken[0].reason}" if broken else ""
    return said.replace(f"{video}: ", "") if video else said


def _videos(run: Path) -> tuple[dict[str, State], list[str], dict[str, Any]]:
    """State of every video that was asked for in a generation run."""
    record = read_json(run / RUN)
    done = {path.stem for path in (run / "videos").glob("*.json")}
    reasons = {}
    for path in (run / "failures").glob("*.json"):
        with suppress(ManifestError, KeyError, TypeError):
            said = read_json(path)
            reasons[path.stem] = f"{said['error']}: {said['message']}"
    wanted = record.get("wanted") or sorted(done | set(reasons))
    states = {name: _state(name in done or name in reasons, name in reasons and name not in done) for name in wanted}
    return states, [why for name, why in reasons.items() if states.get(name) == "failed"], record


def _state(there: bool, broken: bool) -> State:
    return "failed" if broken else "done" if there else "missing"


def _parts_of(attempts: Sequence[Mapping[str, Any]]) -> int:
    """As many parts as the latest command had that was given one."""
    for attempt in reversed(attempts):
        with suppress(RequestError, KeyError, AttributeError):
            return Shard.parse(attempt["shard"]).count
    return 1
