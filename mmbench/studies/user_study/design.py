"""What a study is: the part that raters may know (`StudyDesign`), and the key to it that they may not (`StudyKey`)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mmbench.errors import ManifestError
from mmbench.files import read_json, whole

Kind = Literal["aspects", "pairs"]
Answers = dict[str, int | str]
"""What one vote says: a mark or a side by question. Empty: the rater could not judge (the clip did not play)."""

DESIGN, KEY, MEDIA, VOTES = "study.json", "key.json", "media", "votes.sqlite"
"""Files of a study's folder; only the first and what lies in the third ever leave it."""

MARKS: Final = (1, 10)
SIDES: Final = ("left", "tie", "right")
MEDIA_NAME: Final = re.compile(r"[0-9a-f]{32}\.(?:mp4|jpg)")
SCHEMA: Final = 1
SECRET: Final = 0o600
LONGEST_ID: Final = 64
"""Letters of a question's id: servers refuse a vote with a longer one."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Strict):
    """One thing that is asked of every clip or pair; `hint` says what it means."""

    id: str
    title: str
    hint: str = ""


ASPECTS: Final = (
    Question(id="visual_quality", title="Visual quality", hint="Sharp, clean and natural to look at"),
    Question(id="text_alignment", title="Text alignment", hint="Shows what the description says"),
    Question(id="dynamic_degree", title="Dynamic degree", hint="Moves as much as a real scene would"),
    Question(id="id_similarity", title="ID similarity", hint="Shows the person of the picture"),
    Question(id="overall", title="Overall preference", hint="How much you like it, all in all"),
)
"""The four aspects of the paper's user study (Table 2) and the overall preference (Table 1, last column)."""

PREFERENCE: Final = (Question(id="overall", title="Which clip is better?", hint="All in all"),)

CONSENT: Final = (
    "You will see short videos made by computer programs, and say what you think of them. Taking part is voluntary; "
    "you can stop at any time, and delete your answers from any page. We keep your answers, how long each took and the "
    "day, under a random number. We keep no name, no address and nothing about your device. The answers may be "
    "published. Some videos may look odd; none is meant to offend."
)


class StudyTask(_Strict):
    """What is shown at once: one clip, or two from left to right, with pictures of the person and the description.

    `instruction` is set where attention is checked: it says what to answer.
    """

    clips: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    prompt: str = ""
    instruction: str = ""


class StudyDesign(_Strict):
    """All that a rater's browser may ever learn. `sheets` hold places in `tasks`: what one rater sees, in that order.

    A sheet may show the same clips twice (later, and with sides exchanged): that tells how steady a rater is.
    """

    schema_version: Literal[1] = 1
    id: str
    kind: Kind
    title: str
    consent: str
    questions: tuple[Question, ...]
    tasks: tuple[StudyTask, ...]
    sheets: tuple[tuple[int, ...], ...]
    invited: bool = False

    @model_validator(mode="after")
    def _sound(self) -> StudyDesign:
        if not self.sheets or not all(self.sheets) or not self.questions:
            raise ValueError("a study needs questions, and sheets with tasks")
        ids = [question.id for question in self.questions]
        if len(set(ids)) < len(ids) or not all(0 < len(name) <= LONGEST_ID for name in ids):
            raise ValueError(f"ids of questions are one to {LONGEST_ID} letters, each its own")
        if any(not 0 <= place < len(self.tasks) for sheet in self.sheets for place in sheet):
            raise ValueError("a sheet names a task that is not there")
        names = [name for task in self.tasks for name in (*task.clips, *task.pictures)]
        if wrong := next((name for name in names if not MEDIA_NAME.fullmatch(name)), None):
            raise ValueError(f"{wrong!r} is no name of a blind clip")
        if any(len(task.clips) != (1 if self.kind == "aspects" else 2) for task in self.tasks):
            raise ValueError(f"a task of kind {self.kind!r} has another number of clips")
        return self

    @property
    def media(self) -> frozenset[str]:
        """Names of all files that may be handed out."""
        return frozenset(name for task in self.tasks for name in (*task.clips, *task.pictures))

    def task(self, sheet: int, slot: int) -> StudyTask:
        """The task at a place of a sheet. Raises IndexError where there is none."""
        if not (0 <= sheet < len(self.sheets) and 0 <= slot < len(self.sheets[sheet])):
            raise IndexError(f"there is no place {slot} on sheet {sheet}")
        return self.tasks[self.sheets[sheet][slot]]

    def refusal(self, answers: object) -> str:
        """Why answers are none of this study: every question, a mark from 1 to 10 or a side; "" where they are.

        No answer at all is one too: the rater could not judge.
        """
        if not isinstance(answers, dict):
            return "answers are an object"
        if answers and set(answers) != {question.id for question in self.questions}:
            return "every question is to be answered, and no other"
        for value in answers.values():
            if self.kind == "pairs" and value not in SIDES:
                return f"an answer is one of {', '.join(SIDES)}"
            if self.kind == "aspects" and (type(value) is not int or not MARKS[0] <= value <= MARKS[1]):
                return f"a mark is a whole number from {MARKS[0]} to {MARKS[1]}"
        return ""


class Stimulus(_Strict):
    """What a blind clip is: its model, the id of its row, and the scene (person and prompt) that models share."""

    model: str
    item: str
    identity: str
    scene: str


class StudyKey(_Strict):
    """What tells blind names apart; `checks` hold the right answers of the tasks that check attention.

    `runs` are the folders that clips came from. `invitations` map the sha256 of a rater's token to a sheet.
    """

    schema_version: Literal[1] = 1
    id: str
    seed: int
    runs: tuple[str, ...]
    stimuli: dict[str, Stimulus]
    checks: dict[int, Answers]
    invitations: dict[str, int] = {}
    notes: tuple[str, ...] = ()


Part = TypeVar("Part", StudyDesign, StudyKey)


def read_design(study: Path) -> StudyDesign:
    """The design of a study's folder. Raises ManifestError where it is none, or damaged."""
    return _read(study / DESIGN, StudyDesign)


def read_key(study: Path) -> StudyKey:
    """The key of a study's folder. Raises ManifestError where it is missing, damaged, or of another study."""
    key, design = _read(study / KEY, StudyKey), read_design(study)
    if key.id != design.id:
        raise ManifestError(f"{study / KEY}: the key of another study.", "Put its own key back.")
    if lost := sorted({name for task in design.tasks for name in task.clips} - set(key.stimuli)):
        raise ManifestError(f"{study / KEY}: does not say what {lost[0]} is.", "Put its own key back.")
    if not all(0 <= sheet < len(design.sheets) for sheet in key.invitations.values()):
        raise ManifestError(f"{study / KEY}: invites to a sheet that is not there.", "Put its own key back.")
    return key


def write_part(path: Path, part: StudyDesign | StudyKey) -> None:
    """Write a design or a key whole or not at all, readable for its owner only."""
    with whole(path) as temporary:
        temporary.touch(SECRET)
        temporary.write_text(part.model_dump_json(indent=1), encoding="utf-8")


def _read(path: Path, kind: type[Part]) -> Part:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file.", "Name the folder that `mmbench study new` wrote.")
    try:
        return kind.model_validate(read_json(path, "Make the study again."))
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ManifestError(f"{path}: {where}: {first['msg']}.", "Make the study again.") from cause


def private(path: Path) -> None:
    """Leave a file to its owner alone, where the system can."""
    if os.name == "posix" and path.exists():
        path.chmod(SECRET)
