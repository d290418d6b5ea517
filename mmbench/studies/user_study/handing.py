"""Votes handed out as a table, with the key or without, and deleted: one rater's, or the whole study."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.files import write_text
from mmbench.reports.table.data import no_formula
from mmbench.studies.user_study.design import DESIGN, KEY, MEDIA, VOTES, read_design, read_key
from mmbench.studies.user_study.judgements import rater_record
from mmbench.studies.user_study.make import INVITATIONS
from mmbench.studies.user_study.votes import all_votes, open_votes

COLUMNS = ("rater", "day", "sheet", "place", "kind", "question", "answer", "seconds", "counts")
SHOWN = ("left_model", "left_item", "right_model", "right_item")
REPORT_FILES = ("report.md", "report.json", "table.csv", "table.tex")


def export_votes(study: Path, out: Path) -> int:
    """Write all votes as a CSV, a line an answer, with the models' names; the number of lines.

    `kind` is "task", "repeat" or "check"; `counts` is 0 for raters who failed a check; an empty answer: could not be
    judged. Raters are numbers, and nothing else is known of them. Raises ManifestError where it is no study.
    """
    design, key = read_design(study), read_key(study)
    lines: list[list[str]] = []
    for one in all_votes(study, design):
        counts = rater_record(design, key, one).counts
        sheet = design.sheets[one.sheet]
        for vote in one.votes:
            task = design.tasks[sheet[vote.slot]]
            before = {frozenset(design.tasks[p].clips) for p in sheet[: vote.slot] if p not in key.checks}
            kind = "repeat" if frozenset(task.clips) in before else "task"
            kind = "check" if sheet[vote.slot] in key.checks else kind
            clips = [part for name in task.clips for part in (key.stimuli[name].model, key.stimuli[name].item)]
            for question in design.questions:
                answer = str(vote.answers.get(question.id, ""))
                facts = [one.rater, one.day, one.sheet, vote.slot, kind, question.id, answer, vote.seconds, int(counts)]
                lines.append([*map(str, facts), *map(no_formula, clips), *[""] * (len(SHOWN) - len(clips))])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[*COLUMNS, *SHOWN], *lines])
    write_text(out, text.getvalue())
    return len(lines)


def delete_rater(study: Path, rater: int) -> None:
    """Delete one rater's votes for good. Raises ManifestError where there is no rater of that number."""
    if not open_votes(study, read_design(study)).forget(rater):
        raise ManifestError(f"{study}: there is no rater {rater}.", "The export lists them.")


def delete_study(study: Path) -> None:
    """Delete a study: votes, key, clips and report; files that mmbench did not write, and a folder with such, stay.

    Raises ManifestError where the folder is no study.
    """
    read_design(study)
    votes = [study / f"{VOTES}{ending}" for ending in ("", "-wal", "-shm")]
    report = study / "report"
    reports = [] if report.is_symlink() else [report / name for name in REPORT_FILES]  # a link leads out of the study
    for path in (*votes, study / KEY, study / INVITATIONS, *reports):
        path.unlink(missing_ok=True)
    media = study / MEDIA
    if media.is_symlink():
        media.unlink()
    else:
        shutil.rmtree(media, ignore_errors=True)
    (study / DESIGN).unlink()  # last: until then it can be deleted again
    for folder in (report, study):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
