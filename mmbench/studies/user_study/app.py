"""The server of a study: a page, blind clips, and five calls that take and give a rater's own answers."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from mmbench.studies.user_study.design import LONGEST_ID, MEDIA, Answers, StudyDesign, read_design, read_key
from mmbench.studies.user_study.guard import RateLimit, StudyGuard, StudyLimits, address_of, too_often
from mmbench.studies.user_study.votes import Seat, Vote, VoteStore, new_token, open_votes, token_digest

LONGEST_TOKEN = 128
PAGE = {"index.html": "text/html", "study.js": "text/javascript", "study.css": "text/css"}
TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}

Authorization = Annotated[str, Header(max_length=LONGEST_TOKEN + 16)]


class Joining(BaseModel):
    """What a rater sends to take part."""

    model_config = ConfigDict(extra="forbid")

    consent: StrictBool
    invitation: Annotated[str, Field(max_length=LONGEST_TOKEN)] = ""


class Sent(BaseModel):
    """A vote as it is sent; `revision` counts a rater's changes of mind about one place."""

    model_config = ConfigDict(extra="forbid")

    revision: Annotated[StrictInt, Field(ge=1, le=1_000_000)]
    answers: dict[
        Annotated[str, Field(max_length=LONGEST_ID)], StrictInt | Annotated[str, Field(max_length=8, strict=True)]
    ]
    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=True)]


class _Desk:
    """What the calls share: the design, the store, the limits."""

    def __init__(self, study: Path, limits: StudyLimits) -> None:
        self.folder = study
        self.design: StudyDesign = read_design(study)
        self.invitations = read_key(study).invitations if self.design.invited else {}
        self.media = self.design.media
        self.store: VoteStore = open_votes(study, self.design)
        self.limits = limits
        self.joins, self.votes = RateLimit(limits.joins), RateLimit(limits.votes)

    def seat(self, authorization: str) -> Seat:
        """Whose token the header holds. Raises HTTPException 401."""
        kind, _, token = authorization.partition(" ")
        seat = self.store.seat(token) if kind.lower() == "bearer" and token else None
        if seat is None or seat.sheet >= len(self.design.sheets):
            raise HTTPException(401, "This device holds no place in the study; begin on the first page.")
        return seat


def make_app(study: Path, limits: StudyLimits | None = None, root_path: str = "") -> FastAPI:
    """The application of a study's folder, to be served by any ASGI server; `root_path` is its place behind a proxy.

    Nothing it answers says what a clip's model is: it does not know, unless raters are invited (then it has read the
    key, of which it keeps the invitations alone). A rater is known by a token in a header, never by a cookie, so no
    other site can vote for them. Raises ManifestError where the folder is no study.
    """
    limits = limits or StudyLimits()
    desk = _Desk(study, limits)
    app = FastAPI(title="mmbench study", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(StudyGuard, limits=limits, root_path=root_path)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(sqlite3.Error, _store_fault)
    _add_page(app, desk)
    _add_calls(app, desk)
    return app


def _add_page(app: FastAPI, desk: _Desk) -> None:
    texts = {name: (resources.files(__package__) / "templates" / name).read_bytes() for name in PAGE}

    @app.get("/")
    def index() -> Response:
        return Response(texts["index.html"], media_type=PAGE["index.html"])

    @app.get("/{name}.{ending}")
    def part(name: str, ending: str) -> Response:
        file = f"{name}.{ending}"
        if file not in PAGE:
            raise HTTPException(404, "There is no such page.")
        return Response(texts[file], media_type=PAGE[file], headers={"cache-control": "no-cache"})

    @app.get("/media/{name}")
    @app.head("/media/{name}")
    def media(name: str) -> FileResponse:
        if name not in desk.media:  # the name is looked up, never made into a path before that
            raise HTTPException(404, "There is no such clip.")
        path = desk.folder / MEDIA / name
        if path.is_symlink() or not path.is_file():
            raise HTTPException(404, "This clip is missing; tell those who run the study.")
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return FileResponse(path, media_type=TYPES[path.suffix], headers=headers)


def _add_calls(app: FastAPI, desk: _Desk) -> None:
    @app.get("/api/study")
    def about() -> dict[str, Any]:
        return about_study(desk.design)

    @app.post("/api/raters", status_code=201, response_model=None)
    def join(request: Request, joining: Joining) -> dict[str, Any] | Response:
        if wait := desk.joins.wait(address_of(request.scope)):
            return too_often(wait)
        if not joining.consent:
            raise HTTPException(403, "Without your consent nothing is shown or kept.")
        token, sheet = new_token(), None
        if desk.design.invited:
            token, sheet = joining.invitation, desk.invitations.get(token_digest(joining.invitation))
            if sheet is None:
                raise HTTPException(403, "This study is by invitation; open the link that you were sent.")
        seat = desk.store.join(token, len(desk.design.sheets), sheet=sheet, most=desk.limits.raters)
        if seat is None:
            raise HTTPException(403, "Enough people have taken part already. Thank you.")
        return {"token": token}

    @app.get("/api/sheet")
    def sheet(authorization: Authorization = "") -> dict[str, Any]:
        seat = desk.seat(authorization)
        return {
            "tasks": tasks_of(desk.design, seat.sheet),
            "votes": [_told(v) for v in desk.store.votes_of(seat.rater)],
        }

    @app.put("/api/votes/{slot}", response_model=None)
    def vote(slot: int, sent: Sent, authorization: Authorization = "") -> dict[str, Any] | Response:
        seat = desk.seat(authorization)
        if wait := desk.votes.wait(str(seat.rater)):
            return too_often(wait)
        if not 0 <= slot < len(desk.design.sheets[seat.sheet]):
            raise HTTPException(404, "There is no such place on your sheet.")
        if why := desk.design.refusal(sent.answers):
            raise HTTPException(422, f"Not kept: {why}.")
        kept = desk.store.put(seat.rater, Vote(slot, sent.revision, dict(sent.answers), sent.seconds))
        if kept is None:
            raise HTTPException(401, "Your answers were deleted; begin on the first page.")
        return _told(kept)

    @app.delete("/api/rater")
    def leave(authorization: Authorization = "") -> dict[str, bool]:
        return {"deleted": desk.store.forget(desk.seat(authorization).rater)}


def about_study(design: StudyDesign) -> dict[str, Any]:
    """What is told before anybody has agreed to anything."""
    return design.model_dump(include={"id", "kind", "title", "consent", "questions", "invited"})


def tasks_of(design: StudyDesign, sheet: int) -> list[dict[str, Any]]:
    """The tasks of one sheet as the page reads them, without their places among all tasks."""
    return [design.tasks[place].model_dump() for place in design.sheets[sheet]]


def _told(vote: Vote) -> dict[str, Any]:
    answers: Answers = vote.answers
    return {"slot": vote.slot, "revision": vote.revision, "answers": answers}


def _unfit(request: Request, fault: Exception) -> JSONResponse:
    """What was sent is not repeated in the answer."""
    return JSONResponse({"detail": "The request does not have the form that is asked for."}, 422)


def _store_fault(request: Request, fault: Exception) -> JSONResponse:
    """Busy, or no space: the page keeps the vote and sends it again."""
    return JSONResponse({"detail": "Votes cannot be kept just now."}, 503, {"retry-after": "5"})
