"""Rows: what one measured clip (or one set of clips) looks like on disk and in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmbench.items import Item
from mmbench.remote.path import path_of
from mmbench.scores import Score

SCHEMA = 2
"""Rows of version 1 do not say what their numbers were made of."""


@dataclass(frozen=True)
class MeasuredFile:
    """Geometry and identity of the file that was measured; `sha256` is of the file's bytes.

    `inputs` is the digest of what these facts hold for: the file and the frame rate that was asked for.
    """

    n_frames: int
    width: int
    height: int
    fps: float
    fps_source: str
    sha256: str
    warnings: tuple[str, ...] = ()
    inputs: str = ""


@dataclass(frozen=True)
class RowError:
    """Why a clip could not be measured at all: error type, one-sentence cause, remedy.

    `file_sha256` is of the file's bytes, empty without a file: a file put in its place is noticed. `inputs` is the
    digest of what the reason holds for.
    """

    type: str
    message: str
    remedy: str = ""
    file_sha256: str = ""
    inputs: str = ""


def item_dict(item: Item) -> dict[str, Any]:
    """An item as plain values, paths as texts."""
    said = {**vars(item), "extra": dict(item.extra), "video": str(item.video)}
    said["references"], said["shown"] = ([str(path) for path in paths] for paths in (item.references, item.shown))
    said["condition"] = str(item.condition) if item.condition else None
    return said


@dataclass(frozen=True)
class ItemRow:
    """One item with all its scores. `error` is set, and `scores` empty, when the clip itself was unusable."""

    item: Item
    scores: tuple[Score, ...] = ()
    clip: MeasuredFile | None = None
    error: RowError | None = None
    seconds: float = 0.0

    def score(self, metric: str) -> Score | None:
        """The score of that name, or None when the row has none."""
        return next((score for score in self.scores if score.metric == metric), None)

    @property
    def told(self) -> tuple[str, ...]:
        """What the row is to be read with, each "kind: sentence." once: warnings of its clip, notes of its numbers."""
        warnings = self.clip.warnings if self.clip else ()
        return tuple(dict.fromkeys((*warnings, *(note for score in self.scores for note in score.notes))))

    def to_json(self) -> dict[str, Any]:
        """Plain dict, one line of the store."""
        row = {
            "item": item_dict(self.item),
            "scores": [score.to_json() for score in self.scores],
            "clip": asdict(self.clip) if self.clip else None,
            "error": asdict(self.error) if self.error else None,
            "seconds": self.seconds,
        }
        return {"schema": SCHEMA, "kind": "item", **row}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> ItemRow:
        """Inverse of `to_json`."""
        item = dict(row["item"])
        item["video"] = path_of(item["video"])
        item["references"] = tuple(path_of(path) for path in item["references"])
        item["shown"] = tuple(path_of(path) for path in item.get("shown", ()))
        item["condition"] = path_of(item["condition"]) if item["condition"] else None
        item["conditioned_on"] = tuple(item.get("conditioned_on", ()))
        clip = row["clip"]
        return cls(
            item=Item(**item),
            scores=tuple(Score.from_json(score) for score in row["scores"]),
            clip=MeasuredFile(**{**clip, "warnings": tuple(clip["warnings"])}) if clip else None,
            error=RowError(**row["error"]) if row["error"] else None,
            seconds=row["seconds"],
        )


@dataclass(frozen=True)
class SetRow:
    """Set-level scores (Inception Score) of one model over `n` clips."""

    model: str
    n: int
    scores: tuple[Score, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """Plain dict, one line of the store."""
        return {"schema": SCHEMA, "kind": "set", **asdict(self)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> SetRow:
        """Inverse of `to_json`."""
        return cls(row["model"], row["n"], tuple(Score.from_json(score) for score in row["scores"]))


@dataclass
class Lacking:
    """What one remedy (or, without one, one reason) would mend: how many clips (or sets), which of their metrics."""

    reason: str
    remedy: str
    owners: int = 0
    metrics: dict[str, None] = field(default_factory=dict)


def lacking(rows: Iterable[Sequence[Score]]) -> list[Lacking]:
    """What scores are missing for, that of most rows first; of reasons with one remedy the first one is told."""
    found: dict[str, Lacking] = {}
    for scores in rows:
        missing = [score for score in scores if score.status == "missing"]
        for key in dict.fromkeys(score.remedy or score.reason for score in missing):
            alike = [score for score in missing if key == (score.remedy or score.reason)]
            one = found.setdefault(key, Lacking(alike[0].reason, alike[0].remedy))
            one.owners += 1
            one.metrics |= {score.metric: None for score in alike}
    return sorted(found.values(), key=lambda one: -one.owners)
