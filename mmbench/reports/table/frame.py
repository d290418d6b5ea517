"""Rows as data frames, for people who work with pandas: one line a clip, or one line a number."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mmbench.errors import RequestError
from mmbench.reports.numbers.samples import sorted_rows
from mmbench.reports.table.data import no_formula

if TYPE_CHECKING:
    import pandas as pd

    from mmbench.runs.evaluate.rows import ItemRow

ITEM: Final = (
    "id",
    "model",
    "identity",
    "group",
    "prompt",
    "prompt_long",
    "prompt_index",
    "seed",
    "step",
    "video",
)
CLIP: Final = ("n_frames", "width", "height", "fps", "sha256")
TEXTS: Final = (*ITEM[:6], "video", "error")
"""Columns that hold what users wrote: a spreadsheet must not take them for formulas. All texts are quoted, for a
carriage return would end the line."""


def clips_frame(rows: Sequence[ItemRow]) -> pd.DataFrame:
    """One line a clip, in the order of reports: what it is of, its facts, its error, and a float64 column a score.

    A score that is missing is NaN; `scores_frame` has its reason. Columns are ordered as the rows have them.
    """
    import numpy as np
    import pandas as pd

    ordered = sorted_rows(rows)
    metrics = list(dict.fromkeys(score.metric for row in ordered for score in row.scores))
    columns: dict[str, Any] = {name: [_plain(getattr(row.item, name)) for row in ordered] for name in ITEM}
    for name in CLIP:
        columns[name] = [getattr(row.clip, name) if row.clip else math.nan for row in ordered]
    columns["error"] = [_unicode(row.error.message) if row.error else "" for row in ordered]
    # A column at a time: a dict a line takes as much memory as all rows.
    values = {metric: array("d", [math.nan]) * len(ordered) for metric in metrics}
    for place, row in enumerate(ordered):
        for score in row.scores:
            values[score.metric][place] = math.nan if score.value is None else score.value
    frame = pd.DataFrame(columns | {metric: np.frombuffer(found) for metric, found in values.items()})
    for name in ("prompt_index", "seed", "step", "n_frames", "width", "height"):
        frame[name] = frame[name].astype("Int64")
    return frame


def scores_frame(rows: Sequence[ItemRow]) -> pd.DataFrame:
    """One line a number: clip, model, identity, metric, value, status, reason, remedy, what made it, against whom."""
    import pandas as pd

    names = ("id", "model", "identity", "metric", "value", "status", "reason", "remedy", "backend", "weights", "bank")
    lines = []
    for row in sorted_rows(rows):
        for score in row.scores:
            made = score.provenance
            weights = ", ".join(f"{name} {digest[:12]}" for name, digest in made.weights.items()) if made else ""
            backend = made.backend if made else ""
            told = (_unicode(row.item.id), _unicode(row.item.model), _unicode(row.item.identity), score.metric)
            said = (
                score.value,
                score.status,
                _unicode(score.reason),
                _unicode(score.remedy),
                backend,
                weights,
                score.bank,
            )
            lines.append((*told, *said))
    frame = pd.DataFrame(lines, columns=list(names))
    frame["value"] = frame["value"].astype("float64")
    return frame


def clips_csv(rows: Sequence[ItemRow]) -> str:
    """`clips_frame` as CSV, for reports: nothing rounded, a video's name without its folder, no formulas."""
    ordered = sorted_rows(rows)
    metrics = {score.metric: "" for row in ordered for score in row.scores}
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    lines.writerow((*ITEM, *CLIP, "error", *metrics))
    for row in ordered:  # a line at a time: a frame of all rows takes as much memory as they do
        values: dict[str, Any] = dict(metrics)
        values |= {score.metric: "" if score.value is None else score.value for score in row.scores}
        item = {name: _plain(getattr(row.item, name)) for name in ITEM}
        item |= {"video": Path(item["video"]).name, "error": _unicode(row.error.message) if row.error else ""}
        told = {name: no_formula(text) if isinstance(text := item.pop(name), str) else text for name in TEXTS}
        clip = {name: getattr(row.clip, name) if row.clip else "" for name in CLIP}
        said = item | told | clip | values
        lines.writerow("" if said[name] is None else said[name] for name in (*ITEM, *CLIP, "error", *metrics))
    return out.getvalue()


def write_frame(frame: pd.DataFrame, path: Path) -> Path:
    """Write as Parquet, CSV or JSON lines, as the ending says. Raises RequestError for another ending."""
    from mmbench.files import whole

    writers: dict[str, Any] = {
        ".parquet": lambda part: frame.to_parquet(part, index=False, engine="pyarrow"),
        ".csv": lambda part: frame.to_csv(part, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC),
        ".jsonl": lambda part: frame.to_json(part, orient="records", lines=True),
    }
    if path.suffix.lower() not in writers:
        raise RequestError(f"{path}: rows are not written as such files.", f"End it in {', '.join(writers)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        writers[path.suffix.lower()](part)
    return path


def _plain(value: Any) -> Any:
    return _unicode(str(value)) if isinstance(value, str | Path) else value


def _unicode(text: str) -> str:
    """The text with bytes of a name that are no UTF-8 written out: data frames cannot hold them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
