"""How far a study has come: raters, votes, sheets, checks. Nothing that tells how models fare."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mmbench.studies.user_study.design import read_design, read_key
from mmbench.studies.user_study.judgements import RaterRecord, rater_record
from mmbench.studies.user_study.votes import all_votes


@dataclass(frozen=True)
class StudyStatus:
    """`raters` in the order they joined; `sheets_used` of `sheets` have a rater; `minutes`: finishers' median."""

    title: str
    kind: str
    tasks: int
    sheets: int
    sheets_used: int
    raters: tuple[RaterRecord, ...]
    minutes: float | None

    @property
    def votes(self) -> int:
        """Places answered by all raters."""
        return sum(rater.answered for rater in self.raters)

    @property
    def lines(self) -> list[str]:
        """The same in words, a fact a line."""
        finished = sum(rater.finished for rater in self.raters)
        failed = sum(not rater.counts for rater in self.raters)
        pace = "" if self.minutes is None else f", {self.minutes:.0f} minutes in the middle"
        return [
            f"{self.title} ({self.kind}): {self.tasks} tasks on {self.sheets} sheets",
            f"raters: {len(self.raters)}, of which {finished} have finished{pace}",
            f"votes: {self.votes}",
            f"sheets with a rater: {self.sheets_used} of {self.sheets}",
            f"raters who failed an attention check: {failed}",
        ]


def study_status(study: Path) -> StudyStatus:
    """Read how far a study has come, while it is served too. Raises ManifestError where the folder is no study."""
    design, key = read_design(study), read_key(study)
    everything = all_votes(study, design)
    raters = tuple(rater_record(design, key, one) for one in everything)
    done = [rater.seconds / 60 for rater in raters if rater.finished]
    return StudyStatus(
        title=design.title,
        kind=design.kind,
        tasks=len(design.tasks),
        sheets=len(design.sheets),
        sheets_used=len(Counter(one.sheet for one in everything)),
        raters=raters,
        minutes=median(done) if done else None,
    )
