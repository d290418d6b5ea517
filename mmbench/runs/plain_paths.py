"""Reports are shared, so their texts name files relative to the clips' folder, not by one machine's paths."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmbench.remote.path import RemotePath
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.scores import Score


class PathShortener:
    """Cuts the folders that hold the clips, the references and the run out of texts."""

    def __init__(self, rows: Sequence[ItemRow], run: Path | None = None) -> None:
        named = {row.item.video.parent for row in rows}
        named |= {path.parent for references in {row.item.references for row in rows} for path in references}
        folders = {folder.absolute() for folder in named if not isinstance(folder, RemotePath)}  # a URL is anybody's
        roots = {Path(os.path.commonpath(folders))} if folders else set()
        roots |= {run.absolute()} if run is not None else set()
        # The root of the file system is a part of every path, and of every fraction.
        prefixes = {f"{root}{os.sep}" for root in roots if root != Path(root.anchor)}
        self._prefixes = sorted(prefixes, key=lambda prefix: (-len(prefix), prefix))
        self._told: dict[str, str] = {}

    def text(self, text: str) -> str:
        """`text` without the folders."""
        short = self._told.get(text)
        if short is None:
            short = text
            for prefix in self._prefixes:
                short = short.replace(prefix, "")
            self._told[text] = short
        return short

    def rows(self, rows: Sequence[ItemRow]) -> list[ItemRow]:
        """The same rows with short paths in ids, errors, reasons and remedies (files stay where they are)."""
        return [self._row(row) for row in rows]

    def set_rows(self, rows: Sequence[SetRow]) -> list[SetRow]:
        """As `rows`, for set rows."""
        return [replace(row, scores=tuple(self._score(score) for score in row.scores)) for row in rows]

    def record(self, value: Any) -> Any:
        """A run's record with short paths: `items` becomes their number, any other absolute path its name."""
        if isinstance(value, Mapping):
            return {
                str(key): len(inner) if key == "items" and isinstance(inner, list) else self.record(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.record(inner) for inner in value]
        if isinstance(value, str):
            short = self.text(value)
            return Path(short).name if short.startswith(os.sep) else short
        return value

    def _row(self, row: ItemRow) -> ItemRow:
        error, name = row.error, self.text(row.item.id)
        name = Path(name).name if name.startswith(os.sep) else name
        item = row.item if name == row.item.id else replace(row.item, id=name)
        if error is not None:
            error = replace(error, message=self.text(error.message), remedy=self.text(error.remedy))
        return replace(row, item=item, error=error, scores=tuple(self._score(score) for score in row.scores))

    def _score(self, score: Score) -> Score:
        reason, remedy = self.text(score.reason), self.text(score.remedy)
        same = reason == score.reason and remedy == score.remedy  # as almost all: many rows, many scores
        return score if same else replace(score, reason=reason, remedy=remedy)
