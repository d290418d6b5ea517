"""`Score`: one number of one metric on one clip (or one set), or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["ok", "missing", "error"]


@dataclass(frozen=True)
class Provenance:
    """What made a number: `backend` ("dlib", "raft"...), sha256 of each weight file, library versions.

    `random_weights` marks tiny untrained networks; their rows never enter a table without an explicit flag.
    """

    backend: str
    weights: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    random_weights: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """One value with its status.

    "ok": `value` is finite. "missing": a need of the metric is unmet or the clip has too little to measure
    (no face, one frame); `reason` and `remedy` say what and how. "error": measuring failed; `reason` says why.
    `details` is JSON-serialisable (per-frame curves, counts, thresholds).

    `inputs` is the digest of everything the number was made of: equal digests, equal numbers. `bank` is the digest of
    the people it was compared with, empty where it was compared with nobody: numbers of different banks are not
    comparable. `unmet` marks a "missing" that this machine is to blame for (weights, a package), not the clip.
    """

    metric: str
    status: Status
    value: float | None = None
    reason: str = ""
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    provenance: Provenance | None = None
    inputs: str = ""
    bank: str = ""
    unmet: bool = False
    notes: tuple[str, ...] = ()
    """What a reader of the number has to know, each "kind: sentence.": a picture with two faces, say."""

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.value is not None and math.isfinite(self.value)):
            raise ValueError(f"{self.metric}: status {self.status!r} does not fit value {self.value!r}")

    @classmethod
    def ok(cls, metric: str, value: float, provenance: Provenance | None = None, **details: Any) -> Score:
        """A measured value. Raises ValueError when it is not finite: NaN never travels as a number."""
        return cls(metric, "ok", float(value), details=details, provenance=provenance)

    @classmethod
    def missing(cls, metric: str, reason: str, remedy: str = "", **details: Any) -> Score:
        """No value, and why: shown in every table, never a blank and never a zero."""
        return cls(metric, "missing", reason=reason, remedy=remedy, details=details)

    @classmethod
    def error(cls, metric: str, reason: str, remedy: str = "") -> Score:
        """Measuring failed."""
        return cls(metric, "error", reason=reason, remedy=remedy)

    def to_json(self) -> dict[str, Any]:
        """Plain dict for one row of the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Score:
        """Inverse of `to_json`."""
        provenance = row.get("provenance")
        made = {"provenance": Provenance(**provenance) if provenance else None, "notes": tuple(row.get("notes", ()))}
        return cls(**{**row, **made})
