"""A study as a folder for hosts without a server: votes come back as files, which one command takes in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from mmbench.errors import ManifestError
from mmbench.files import whole, write_text
from mmbench.studies.user_study.design import MEDIA, StudyDesign, read_design
from mmbench.studies.user_study.votes import Vote, VoteStore, open_votes

PARTS = ("study.js", "study.css")
LARGEST_FILE = 2**20
"""Bytes of a file of votes: a thousand places take a tenth of it."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    slot: Annotated[StrictInt, Field(ge=0)]
    revision: Annotated[StrictInt, Field(ge=1, le=1_000_000)]
    answers: dict[str, StrictInt | Annotated[str, Field(strict=True)]]
    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class VotesFile(BaseModel):
    """What a rater's browser saves: their random name, sheet, and votes."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    study: Annotated[str, Field(max_length=64)]
    rater: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    sheet: Annotated[StrictInt, Field(ge=0)]
    votes: Annotated[list[_Entry], Field(max_length=10_000)]


@dataclass(frozen=True)
class TakenVotes:
    """`raters` whose votes were read, new or known; `new` votes and changes; `refused` files, each with its reason."""

    raters: int
    new: int
    refused: tuple[str, ...]


def export_static(study: Path, out: Path) -> Path:
    """Write the study's page, clips and sheets into a new folder; the page. It works from `file:` too.

    Nothing of the key is in it. Each visitor gets a sheet by lot, or the one that the link's ending `#sheet=N` names,
    and at the end a file of votes to send. Raises ManifestError where `out` is in use, the study has clips missing, or
    raters are to be invited (nobody would check).
    """
    design = read_design(study)
    if design.invited:
        raise ManifestError(f"{study}: raters are invited, and a folder cannot ask for invitations.", "Serve it.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ManifestError(f"{out}: is in use.", "Name a new folder.")
    for name in sorted(design.media):
        source = study / MEDIA / name
        if source.is_symlink() or not source.is_file():
            raise ManifestError(f"{source}: is missing.", "Copy the whole study again.")
        with whole(out / MEDIA / name) as part:
            shutil.copy2(source, part)  # with its time, which is the same for all
    templates = resources.files(__package__) / "templates"
    for name in PARTS:
        write_text(out / name, (templates / name).read_text(encoding="utf-8"))
    write_text(out / "design.js", f"window.mmbenchStudy = {_script(design)};\n")
    page = (templates / "index.html").read_text(encoding="utf-8")
    call = '<script src="study.js" defer></script>'
    write_text(out / "index.html", page.replace(call, f'<script src="design.js"></script>\n{call}'))
    return out / "index.html"


def import_votes(study: Path, files: Sequence[Path]) -> TakenVotes:
    """Take in files of votes, folders of them included; the same file twice, or a later one of the same rater, is fine.

    Files are strangers' work: each is taken whole or refused with its reason. Raises ManifestError where `study` is no
    study or a name leads to nothing.
    """
    design = read_design(study)
    store = open_votes(study, design)
    new, refused, raters = 0, [], set()
    for path in _listed(files):
        try:
            held = _read_votes(path, design)
            new += _take(store, design, held)
        except ManifestError as cause:
            refused.append(str(cause))
            continue
        raters.add(held.rater)
    return TakenVotes(len(raters), new, tuple(refused))


def _script(design: StudyDesign) -> str:
    """The design as a literal of JavaScript that no text in it can end."""
    text = json.dumps(design.model_dump(exclude={"schema_version"}))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _listed(files: Sequence[Path]) -> list[Path]:
    found = []
    for path in files:
        if path.is_dir():
            found += sorted(path.glob("*.json"))
        elif path.exists():
            found.append(path)
        else:
            raise ManifestError(f"{path}: no such file.", "Name files of votes, or a folder of them.")
    return found


def _read_votes(path: Path, design: StudyDesign) -> VotesFile:
    try:
        if not path.is_file():  # a pipe would be read for ever
            raise ManifestError(f"{path}: is no file.")
        with path.open("rb") as stream:
            text = stream.read(LARGEST_FILE + 1)
    except OSError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause.strerror}.") from cause
    if len(text) > LARGEST_FILE:
        raise ManifestError(f"{path}: too large for a file of votes.")
    try:
        held = VotesFile.model_validate_json(text)
    except ValidationError as cause:
        raise ManifestError(f"{path}: no file of votes: {cause.errors()[0]['msg']}.") from cause
    if held.study != design.id:
        raise ManifestError(f"{path}: votes of another study.")
    if held.sheet >= len(design.sheets):
        raise ManifestError(f"{path}: there is no sheet {held.sheet}.")
    slots = [vote.slot for vote in held.votes]
    if len(set(slots)) != len(slots) or any(slot >= len(design.sheets[held.sheet]) for slot in slots):
        raise ManifestError(f"{path}: places that are not on its sheet, or twice.")
    if why := next(filter(None, (design.refusal(vote.answers) for vote in held.votes)), ""):
        raise ManifestError(f"{path}: {why}.")
    return held


def _take(store: VoteStore, design: StudyDesign, held: VotesFile) -> int:
    seat = store.join(f"file {held.rater}", len(design.sheets), sheet=held.sheet)
    if seat is None or seat.sheet != held.sheet:
        raise ManifestError(f"Votes of rater {held.rater[:8]}: on another sheet than before.")
    known = {vote.slot: vote.revision for vote in store.votes_of(seat.rater)}
    fresh = [vote for vote in held.votes if vote.revision > known.get(vote.slot, 0)]
    store.put_all(seat.rater, [Vote(v.slot, v.revision, dict(v.answers), v.seconds) for v in fresh])
    return len(fresh)
