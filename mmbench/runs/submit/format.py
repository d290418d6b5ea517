"""What a submission is on disk, and how one from a stranger is read: bounded, typed, nothing outside its folder.

NAME/submission.json   who, which models, test set, settings, weights, versions; size and sha256 of every file
NAME/rows.jsonl        a line a clip, then a line a model, as in a run's own rows, without one machine's paths
NAME/clips/...         a few videos of each model, and the first frames they began with
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, field_validator

from mmbench.config import EvaluateSettings, faults
from mmbench.errors import ManifestError
from mmbench.files import sha256
from mmbench.names import is_plain
from mmbench.runs.evaluate.inputs import digest_of
from mmbench.runs.evaluate.rows import SCHEMA, ItemRow, SetRow
from mmbench.testsets.types import TestSet

CARD, ROWS, CLIPS = "submission.json", "rows.jsonl", "clips"
MOST_FILES = 4096
MOST_BYTES = {CARD: 4 * 2**20, ROWS: 512 * 2**20}
"""Bytes that these files may have."""
MOST_CLIP_BYTES = 256 * 2**20
"""Bytes of any other file."""
MOST_DEPTH = 32
"""Lists and objects within one another in a row."""

NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"
REMEDY = "Pack the run again: mmbench submit pack."

Text = Annotated[str, StringConstraints(max_length=500)]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class PackedFile(BaseModel):
    """A file of a submission: sha256 and size of its bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: Sha
    bytes: int = Field(ge=0)


class Card(BaseModel):
    """The first page of a submission. `name` is the folder's own too; `models` are those of its rows.

    `testset_sha256` is `digest_of_testset` of the test set as it was when the run was packed, `files` all other files
    by their names within the folder. `link` leads to the paper or the code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: Annotated[str, StringConstraints(pattern=NAME)]
    about: Text = ""
    link: Annotated[str, StringConstraints(pattern=r"^(https://[!-~]{1,290})?$")] = ""
    testset: Text
    testset_sha256: Sha
    models: tuple[Text, ...] = Field(min_length=1, max_length=64)
    mmbench_version: Text
    settings: EvaluateSettings
    weights: dict[Text, Text] = {}
    versions: dict[Text, Text] = {}
    files: dict[Text, PackedFile]

    @field_validator("about", "models", "testset", "mmbench_version")
    @classmethod
    def _printed(cls, said: Any) -> Any:
        for text in (said,) if isinstance(said, str) else said:
            if not text.isprintable():
                raise ValueError(f"{text!r} has characters that cannot be printed")
        return said


_ITEM_ROW, _SET_ROW = TypeAdapter(ItemRow), TypeAdapter(SetRow)


def read_card(folder: Path) -> Card:
    """The card of a submission. Raises ManifestError where there is none, or it is none of ours."""
    path = folder / CARD
    try:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES[CARD]:
            raise ManifestError(f"{path}: is a link, or too large for a card.", REMEDY)
        return Card.model_validate_json(path.read_bytes())
    except OSError as cause:
        raise ManifestError(f"{folder}: is no submission (no {CARD}): {cause.strerror}.", REMEDY) from cause
    except ValidationError as cause:
        raise ManifestError(f"{path}: {faults(cause)}.", REMEDY) from cause


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files of a submission but its card: names within the folder, "/" between parts, and their paths.

    Raises ManifestError for links, for what is neither file nor folder, for names that could lead elsewhere, and for
    more files than a submission has.
    """
    found = 0
    for place, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(place, name)
            inner = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or not is_plain(inner):
                raise ManifestError(f"{path}: is no plain file of a submission.", "Take it out.")
            if stat.S_ISREG(mode) and inner != CARD:
                found += 1
                if found > MOST_FILES:
                    raise ManifestError(f"{folder}: has more than {MOST_FILES} files.", REMEDY)
                yield inner, path


def read_packed_rows(path: Path) -> Iterator[ItemRow | SetRow]:
    """The rows of a submission. Every value is of its type, every number finite.

    Raises ManifestError naming the line that holds no row of this version.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                data = json.loads(line, parse_constant=_no_number)
                if not isinstance(data, dict) or data.get("schema") != SCHEMA:
                    raise ValueError(f"it is no row of version {SCHEMA}")
                _check_depth(data)
                kind = _ITEM_ROW if data.get("kind") == "item" else _SET_ROW
                row = kind.validate_json(line, strict=True)
            except ValidationError as cause:
                raise ManifestError(f"{path}: line {number}: {faults(cause)}.", REMEDY) from cause
            except (ValueError, TypeError, RecursionError) as cause:
                raise ManifestError(f"{path}: line {number}: {cause}.", REMEDY) from cause
            yield row


def digest_of_testset(testset: TestSet) -> str:
    """sha256 of all that a test set says: people, groups, prompts, and the bytes of their pictures, in its order."""
    from mmbench.files import content_of

    said = [
        [
            one.id,
            one.group,
            one.class_word,
            [content_of(path) for path in one.references],
            len(one.shown),
            [[prompt.id, prompt.index, prompt.short, prompt.long] for prompt in one.prompts],
        ]
        for one in testset.identities
    ]
    return sha256(json.dumps(said, separators=(",", ":")).encode())


def chosen(rows: Sequence[ItemRow], count: int) -> list[ItemRow]:
    """The clips of one model that its submission brings: `count` of those that could be measured.

    Which ones follows from the digests of all its videos, so that nobody chooses them: another video, another choice.
    """
    usable = [row for row in rows if row.clip is not None]
    whole = digest_of(sorted(row.clip.sha256 for row in usable if row.clip))
    return sorted(usable, key=lambda row: digest_of([whole, row.clip.sha256 if row.clip else ""]))[:count]


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _check_depth(value: object, depth: int = 0) -> None:
    if depth > MOST_DEPTH:
        raise ValueError("lists and objects lie too deep in one another")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)
