"""Several runs as one: their rows side by side, models of one name told apart, or the reason why they cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError
from mmbench.reports.slim import Slimmer
from mmbench.runs.evaluate.record import read_record
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.evaluate.store import read_rows


@dataclass(frozen=True)
class Runs:
    """Rows (without what reports do not read) and set rows of all runs.

    `record` is the run's own where there is one, else what they share; of its items it has the models alone.
    """

    rows: tuple[ItemRow, ...]
    sets: tuple[SetRow, ...]
    record: Mapping[str, Any]


def read_runs(runs: Sequence[Path]) -> Runs:
    """The rows of runs of `mmbench evaluate`, in their order.

    A model that several runs hold is called `MODEL (RUN)` in each of them. Numbers of other settings, weights or people
    are never mixed: tables tell them apart and comparisons refuse them, as within one run. Raises ManifestError for
    what is no run, a run without rows, or the same folder twice.
    """
    folders = [run.resolve() for run in runs]
    if twice := [run for run, count in Counter(folders).items() if count > 1]:
        raise ManifestError(f"{twice[0]}: is named twice.", "Name each run once.")
    slimmer = Slimmer()
    held = [_read(run, slimmer) for run in runs]
    if len(held) == 1:
        rows, sets, record = held[0]
        return Runs(tuple(rows), tuple(sets), record)
    models = Counter(model for rows, sets, _ in held for model in _models(rows, sets))
    names = _names(runs)
    shared = {model for model, count in models.items() if count > 1}
    rows_of_all: list[ItemRow] = []
    sets_of_all: list[SetRow] = []
    for name, (rows, sets, _) in zip(names, held, strict=True):
        for row in rows:
            model = f"{row.item.model} ({name})" if row.item.model in shared else row.item.model
            item = replace(row.item, model=model, id=f"{name}: {row.item.id}")
            rows_of_all.append(replace(row, item=item))
        for one in sets:
            sets_of_all.append(replace(one, model=f"{one.model} ({name})" if one.model in shared else one.model))
    items = [item for _, _, record in held for item in record.get("items", ())]
    return Runs(tuple(rows_of_all), tuple(sets_of_all), {"runs": [str(run) for run in runs], "items": items})


def _read(run: Path, slimmer: Slimmer) -> tuple[list[ItemRow], list[SetRow], dict[str, Any]]:
    rows, sets = read_rows(run, slimmer.row)
    if not rows:
        raise ManifestError(f"{run}: the run has no rows yet.", "Let `mmbench evaluate` finish at least one clip.")
    record = read_record(run)
    if record:
        alike: dict[str, dict[str, str]] = {}
        models = [{name: str(item[name]) for name in ("model",) if name in item} for item in record["items"]]
        record["items"] = [alike.setdefault(model.get("model", ""), model) for model in models]
    return rows, sets, record


def _models(rows: Sequence[ItemRow], sets: Sequence[SetRow]) -> set[str]:
    return {row.item.model for row in rows} | {row.model for row in sets}


def _names(runs: Sequence[Path]) -> list[str]:
    """Short names that tell the folders apart: the last part, with as many parents as it takes."""
    parts = [run.resolve().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in runs]
