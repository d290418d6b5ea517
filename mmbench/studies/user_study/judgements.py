"""Votes with the key put to them: who judged which model's clip how, which raters count, how steady they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmbench.studies.user_study.design import Answers, Stimulus, StudyDesign, StudyKey, read_design, read_key
from mmbench.studies.user_study.votes import RaterVotes, all_votes

SCORES: Final = {"left": 1.0, "tie": 0.5, "right": 0.0}
"""What the clip on the left gets of one vote."""


@dataclass(frozen=True)
class Judgement:
    """One answered task: the clips from left to right, the answers (none: could not be judged).

    `repeat`: the rater had judged the same clips before. Repeats tell how steady raters are and count nowhere else.
    """

    rater: int
    clips: tuple[Stimulus, ...]
    answers: Answers
    seconds: float
    repeat: bool = False

    def score(self, question: str) -> float | None:
        """The mark, or what the left clip got of 1; None where it was not judged."""
        answer = self.answers.get(question)
        return None if answer is None else SCORES[answer] if isinstance(answer, str) else float(answer)


@dataclass(frozen=True)
class RaterRecord:
    """What one rater did: places answered of `of`, attention checks passed and failed; whether their votes count."""

    rater: int
    day: str
    answered: int
    of: int
    passed: int
    failed: int
    counts: bool
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether every place has an answer."""
        return self.answered == self.of


@dataclass(frozen=True)
class Judgements:
    """All judgements of raters that count, attention checks taken out, and an account of every rater."""

    design: StudyDesign
    key: StudyKey
    judgements: tuple[Judgement, ...]
    raters: tuple[RaterRecord, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """All models of the study, in alphabetical order."""
        return tuple(sorted({one.model for one in self.key.stimuli.values()}, key=lambda m: (m.casefold(), m)))

    @property
    def first(self) -> tuple[Judgement, ...]:
        """The judgements that numbers are made of: each rater's first of the same clips, where they could judge."""
        return tuple(one for one in self.judgements if not one.repeat and one.answers)

    @property
    def unjudged(self) -> int:
        """Places where a rater said that they could not judge."""
        return sum(not one.answers for one in self.judgements)

    def steadiness(self) -> list[tuple[Judgement, Judgement]]:
        """First and second judgement of the same clips by the same rater, both answered."""
        first = {(one.rater, _clips(one)): one for one in self.judgements if not one.repeat and one.answers}
        again = [one for one in self.judgements if one.repeat and one.answers]
        return [(first[one.rater, _clips(one)], one) for one in again if (one.rater, _clips(one)) in first]


def read_judgements(study: Path, allowed_wrong: int = 0) -> Judgements:
    """Everything that was said in a study, with the key.

    A rater who failed more than `allowed_wrong` attention checks does not count; one who left before the first check
    does. A check that was passed over, or "could not be judged", is failed: what it asks for needs no clip that plays.
    Raises ManifestError where the folder is no study, its key is missing, or a vote is damaged.
    """
    design, key = read_design(study), read_key(study)
    found: list[Judgement] = []
    raters = []
    for one in all_votes(study, design):
        record = rater_record(design, key, one, allowed_wrong)
        raters.append(record)
        if record.counts:
            found += _judgements(design, key, one)
    return Judgements(design, key, tuple(found), tuple(raters))


def rater_record(design: StudyDesign, key: StudyKey, one: RaterVotes, allowed_wrong: int = 0) -> RaterRecord:
    """The account of one rater."""
    sheet = design.sheets[one.sheet]
    given = {vote.slot: vote.answers for vote in one.votes}
    last = max(given, default=-1)
    checks = [
        (key.checks[place], given.get(slot)) for slot, place in enumerate(sheet[: last + 1]) if place in key.checks
    ]
    failed = sum(wanted != said for wanted, said in checks)  # None: passed over, though later places were answered
    return RaterRecord(
        rater=one.rater,
        day=one.day,
        answered=len(one.votes),
        of=len(sheet),
        passed=len(checks) - failed,
        failed=failed,
        counts=failed <= allowed_wrong,
        seconds=sum(vote.seconds for vote in one.votes),
    )


def _judgements(design: StudyDesign, key: StudyKey, one: RaterVotes) -> list[Judgement]:
    sheet = design.sheets[one.sheet]
    votes = {vote.slot: vote for vote in one.votes}
    seen: set[frozenset[str]] = set()
    found = []
    for slot, place in enumerate(sheet):  # in the order shown: only the first showing is a first judgement
        names = frozenset(design.tasks[place].clips)
        if place in key.checks:
            continue
        repeat = names in seen
        seen.add(names)
        if slot in votes:
            clips = tuple(key.stimuli[name] for name in design.tasks[place].clips)
            found.append(Judgement(one.rater, clips, votes[slot].answers, votes[slot].seconds, repeat))
    return found


def _clips(one: Judgement) -> frozenset[str]:
    return frozenset(clip.item for clip in one.clips)


def in_order(clips: Sequence[Stimulus]) -> bool:
    """Whether a pair stands as reports have it: by name of the model."""
    return clips[0].model <= clips[-1].model
