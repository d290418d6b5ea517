"""`validity.json`: every measurement, number and claim of a run, and the software behind them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import RequestError
from mmbench.files import read_json, write_text
from mmbench.studies.validity.finding import Finding, Observation
from mmbench.studies.validity.levels import Levels
from mmbench.version import __version__

if TYPE_CHECKING:
    from mmbench.scores import Provenance

Packed = dict[str, dict[str, dict[str, list[list[float]]]]]
"""Measurements by metric, series and person: [level, value] or [level, value, x], six digits."""


def pack(rows: Sequence[Observation]) -> Packed:
    """Rows without repetition. Raises ValueError for a value that is not finite."""
    packed: Packed = {}
    for row in rows:
        numbers = [row.level, row.value, *(() if row.x is None else (row.x,))]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"not finite: {row}")
        people = packed.setdefault(row.metric, {}).setdefault(row.series, {})
        people.setdefault(row.person, []).append([float(f"{number:.6g}") for number in numbers])
    return packed


def unpack(packed: Packed) -> list[Observation]:
    """Rows of `pack`, by metric, series and person."""
    return [
        Observation(person, series, numbers[0], metric, numbers[1], *numbers[2:])
        for metric, by_series in packed.items()
        for series, people in by_series.items()
        for person, values in people.items()
        for numbers in values
    ]


def write_record(
    path: Path,
    findings: Sequence[Finding],
    packed: Mapping[str, Packed],
    levels: Levels,
    renderer: str,
    backends: Mapping[str, Provenance],
) -> None:
    """Write the record; innermost lists take one line each."""

    def plain(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")

    document: dict[str, Any] = {
        "mmbench": __version__,
        "renderer": renderer,
        "backends": {need: asdict(provenance) for need, provenance in backends.items()},
        "levels": asdict(levels),
        "experiments": {
            finding.name: {
                "title": finding.title,
                "conclusion": finding.conclusion,
                "numbers": {n.label: [plain(n.value), plain(n.low), plain(n.high)] for n in finding.numbers},
                "claims": {claim.text: claim.holds for claim in finding.claims},
                "measurements": packed[finding.name],
            }
            for finding in findings
        },
    }
    text = json.dumps(document, indent=1, allow_nan=False)
    text = re.sub(r"\[\s+([^][{}\"]*?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)
    write_text(path, text + "\n")


def read_record(path: Path) -> tuple[Levels, dict[str, Packed]]:
    """Levels and measurements of a record. Raises RequestError where there is none."""
    if not path.is_file():
        raise RequestError(f"{path} is not there.", "Run `mmbench validity` first.")
    known = read_json(path, "Run `mmbench validity` again.")
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in known["levels"].items()}
    levels = Levels(**given)
    return levels, {name: each["measurements"] for name, each in known["experiments"].items()}
