"""Rows as a report holds them: of each number what is read of it, and what many rows say alike in memory once."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import fields, replace
from math import isfinite, nan
from typing import Any

from mmbench.runs.evaluate.rows import ItemRow
from mmbench.scores import Provenance, Score

FACTS = ("version", "variant", "order", "remark", "warning", "std")
"""Details that tell what a number is or what is to be said with it."""

SERIES = {"similarity": "similarity", "distance": "distance"}
"""Details with a value a frame of "frames", and what the curve shows."""

KEPT = frozenset((*FACTS, *SERIES))

NOTHING: dict[str, Any] = {}

SCORE_FIELDS = frozenset(field.name for field in fields(Score))


class Slimmer:
    """Makes rows of some 10 KiB out of lines of 25.

    A row loses the digests of what its numbers were made of, how long they took, and details that no table, remark or
    curve reads. Curves become arrays of float64, with NaN for a frame without a value. Equal texts, pictures and
    reasons are one object.
    """

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._texts: dict[str, str] = {}
        self._latest: dict[str, tuple[Mapping[str, Any], Provenance]] = {}

    def row(self, said: dict[str, Any]) -> ItemRow:
        """The row of one line. Raises KeyError, TypeError, ValueError or AttributeError where the line holds none."""
        scores = tuple(self._score(score) for score in said["scores"])
        row = ItemRow.from_json({**said, "scores": ()})
        item = replace(
            row.item,
            model=self._one(row.item.model),
            identity=self._one(row.item.identity),
            prompt=self._one(row.item.prompt),
            prompt_long=self._one(row.item.prompt_long),
            references=self._one(row.item.references),
            shown=self._one(row.item.shown),
        )
        return ItemRow(item, scores, row.clip, row.error, row.seconds)

    def _score(self, said: dict[str, Any]) -> Score:
        if not SCORE_FIELDS.issuperset(said):
            raise TypeError(f"a score has no {', '.join(sorted(said.keys() - SCORE_FIELDS))}")
        get, text = said.get, self._text
        made, details, notes = get("provenance"), get("details"), get("notes")
        metric, status = text(said["metric"]), text(said["status"])
        score = Score(  # by place: half of a report's reading is spent here
            metric,
            status,  # type: ignore[arg-type]
            get("value"),
            text(get("reason", "")),
            text(get("remedy", "")),
            self._details(details) if details else NOTHING,
            0.0,
            self._made(metric, made) if made else None,
            "",
            text(get("bank", "")),
            get("unmet", False),
            self._one(tuple(notes)) if notes else (),
        )
        if status == "ok" or score.details:
            return score
        told = (metric, status, score.reason, score.remedy, score.bank, score.unmet, score.notes)
        found: Score = self._known.setdefault((*told, id(score.provenance)), score)
        return found

    def _text(self, said: str) -> str:
        """The text that says the same and came first."""
        return self._texts.setdefault(said, said) if said else said

    def _made(self, metric: str, said: Mapping[str, Any]) -> Provenance:
        before = self._latest.get(metric)
        if before is not None and before[0] == said:  # most rows were made by what made the row before
            return before[1]
        made = self._provenance(said)
        self._latest[metric] = (said, made)
        return made

    def _provenance(self, said: Mapping[str, Any]) -> Provenance:
        weights, versions = said["weights"], said["versions"]
        told = (*weights, *weights.values(), None, *versions, *versions.values())
        key = (said["backend"], said["random_weights"], told)
        found = self._known.get(key)
        return found if found is not None else self._known.setdefault(key, Provenance(**said))  # type: ignore[no-any-return]

    def _details(self, said: Mapping[str, Any]) -> dict[str, Any]:
        if KEPT.isdisjoint(said):
            return NOTHING
        kept = {name: said[name] for name in FACTS if name in said and isinstance(said[name], str | int | float)}
        frames = said.get("frames")
        for name in SERIES:
            values = said.get(name)
            if isinstance(frames, list) and isinstance(values, list) and len(frames) == len(values):
                kept["frames"] = self._one(tuple(frames))
                kept[name] = array("d", [_number(value) for value in values])
        return kept or NOTHING

    def _one(self, value: Any) -> Any:
        """The object that says the same and came first; the value itself where it cannot be a key."""
        try:
            # 1, 1.0 and True are equal, and not the same.
            return self._known.setdefault((type(value), value), value)
        except TypeError:
            return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return nan
    return float(value)
