"""Submissions into a board: one table, one page, and a file that says who is on it and who was refused, and why.

BOARD/board.yaml           its rules (`mmbench.config.BoardSettings`)
BOARD/submissions/NAME/    what `mmbench submit pack` wrote
OUT/index.html, ...        the report of all of them
OUT/board.json             the rules' digest, who joined, who was refused
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.config import BoardSettings
from mmbench.errors import ManifestError
from mmbench.files import Progress, sha256_file, silent, write_json
from mmbench.metrics.registry import facts_by_name
from mmbench.names import key
from mmbench.reports.build import ReportPaths, report_options, write_report
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.submit.check import Checked, check
from mmbench.runs.submit.format import CARD, digest_of_testset
from mmbench.testsets.load import load_testset

RULES, SUBMISSIONS, BOARD = "board.yaml", "submissions", "board.json"
SCHEMA = 1


@dataclass(frozen=True)
class Board:
    """What was written: the report, who joined, and the submissions that were refused with their faults."""

    report: ReportPaths
    joined: tuple[Checked, ...]
    refused: tuple[Checked, ...]


def find_submissions(board: Path) -> tuple[BoardSettings, list[Path]]:
    """The rules of a board's folder and its submissions by name. Raises ManifestError where there are none."""
    rules = BoardSettings.from_yaml(board / RULES)
    folder = board / SUBMISSIONS
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not found:
        raise ManifestError(f"{folder}: there is no submission.", f"Pack one: mmbench submit pack RUN {folder}/NAME.")
    return rules, found


def build_board(submissions: Sequence[Path], rules: BoardSettings, out: Path, progress: Progress = silent) -> Board:
    """Check every submission, and make one report in `out` of those that hold. One that does not is named with why.

    Models are called `MODEL (SUBMISSION)`. Equal submissions in any order give equal files. Raises ManifestError where
    none holds, two have one name, or `out` has files of somebody else; what `check` raises passes through.
    """
    names = Counter(key(path.resolve().name) for path in submissions)
    if twice := [path for path in submissions if names[key(path.resolve().name)] > 1]:
        raise ManifestError(f"{twice[0]}: two submissions have this name.", "Rename one, and pack it again.")
    checked: list[Checked] = []
    for done, folder in enumerate(sorted(submissions, key=lambda path: path.resolve().name), start=1):
        checked.append(check(folder, rules))
        progress(done, len(submissions), "submissions")
    checked = [_no_one_else(one, [other for other in checked if other is not one]) for one in checked]
    joined, refused = [one for one in checked if one.sound], [one for one in checked if not one.sound]
    if not joined:
        first = f", the first with: {refused[0].faults[0]}" if refused else ""
        raise ManifestError(f"None of {len(checked)} submissions holds{first}", "See mmbench submit check.")
    rows = [_row(row, one, rules) for one in joined for row in one.rows]
    sets = [_set(row, one) for one in joined for row in one.sets]
    said = _said(rules, joined, refused)
    report = write_report(rows, sets, facts_by_name(), out, report_options(rules.report), record=_record(said, rules))
    write_json(out / BOARD, said)
    return Board(report, tuple(joined), tuple(refused))


def label(model: str, submission: str) -> str:
    """What a model is called on a board: nobody's name can be taken by somebody else."""
    return f"{model} ({submission})"


def _no_one_else(one: Checked, others: Sequence[Checked]) -> Checked:
    """Refused where a model's name ends like a name on the board that is another submission's."""
    names = {key(other.folder.resolve().name) for other in others}
    for model in one.card.models if one.card else ():
        found = re.search(r"\(([^()]*)\)\s*$", model)
        if found and key(found[1].strip()) in names:
            fault = f"its model {model!r} is called as if it were of {found[1].strip()!r}, which is another submission."
            return replace(one, faults=(*one.faults, fault))
    return one


def _row(row: ItemRow, one: Checked, rules: BoardSettings) -> ItemRow:
    """As the board shows it: under its submission's name, its files where they lie, pictures of people if allowed."""
    assert one.card is not None
    folder, item = one.folder.absolute(), row.item
    shown = replace(
        item,
        id=f"{one.card.name}: {item.id}",
        model=label(item.model, one.card.name),
        video=folder / item.video,
        condition=folder / item.condition if item.condition else None,
        references=item.references if rules.pictures else (),
        shown=item.shown if rules.pictures else (),
    )
    return replace(row, item=shown)


def _set(row: SetRow, one: Checked) -> SetRow:
    assert one.card is not None
    return replace(row, model=label(row.model, one.card.name))


def _said(rules: BoardSettings, joined: Sequence[Checked], refused: Sequence[Checked]) -> dict[str, Any]:
    """What `board.json` holds. No times and no paths: the same submissions make the same file."""
    return {
        "schema": SCHEMA,
        "title": rules.report.title,
        "testset": rules.testset,
        "testset_sha256": digest_of_testset(load_testset(rules.testset)),
        "rules_sha256": rules.digest(),
        "submissions": [
            {
                "name": one.card.name,
                "about": one.card.about,
                "link": one.card.link,
                "models": [label(model, one.card.name) for model in one.card.models],
                "mmbench_version": one.card.mmbench_version,
                "card_sha256": sha256_file(one.folder / CARD),
                "notes": list(one.notes),
            }
            for one in joined
            if one.card is not None
        ],
        "refused": [{"name": one.folder.resolve().name, "faults": list(one.faults)} for one in refused],
    }


def _record(said: dict[str, Any], rules: BoardSettings) -> dict[str, Any]:
    """The same for the page: the rules, and a group a submission."""
    of_each = {
        f"submission {one['name']}": {name: value for name, value in one.items() if name != "name" and value}
        for one in said["submissions"]
    }
    refused = {f"refused {one['name']}": {"why": " ".join(one["faults"])} for one in said["refused"]}
    head = {name: said[name] for name in ("testset", "testset_sha256", "rules_sha256")}
    return {**head, "settings": rules.evaluate.model_dump(mode="json"), **of_each, **refused}
