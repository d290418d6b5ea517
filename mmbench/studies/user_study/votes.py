"""The store of votes: SQLite, one transaction a vote, one row a rater and place, whatever is sent twice or late."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.studies.user_study.design import VOTES, Answers, StudyDesign, private

WAIT = 30.0
"""Seconds that a writer waits for another one."""

TABLES = """
CREATE TABLE IF NOT EXISTS study (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS raters (
  number INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE, sheet INTEGER NOT NULL, day TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS votes (
  rater INTEGER NOT NULL REFERENCES raters (number) ON DELETE CASCADE, slot INTEGER NOT NULL,
  revision INTEGER NOT NULL, answers TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (rater, slot)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Seat:
    """A rater and the sheet that is theirs."""

    rater: int
    sheet: int


@dataclass(frozen=True)
class Vote:
    """What is kept of one place of a sheet. Of two votes for it the one of the higher `revision` stays.

    `seconds` are from showing the task to answering it.
    """

    slot: int
    revision: int
    answers: Answers
    seconds: float


@dataclass(frozen=True)
class RaterVotes:
    """All votes of one rater, by place on the sheet; `day` is when they joined (UTC)."""

    rater: int
    sheet: int
    day: str
    votes: tuple[Vote, ...]


def new_token() -> str:
    """A rater's secret: 192 random bits, in letters that links can hold."""
    return secrets.token_urlsafe(24)


def token_digest(token: str) -> str:
    """What is kept of a token: its sha256, from which nobody finds it again."""
    return hashlib.sha256(token.encode()).hexdigest()


class VoteStore:
    """The votes of one study, for any number of threads and processes of one machine (write-ahead log).

    A vote is on the disk when `put` returns. Raises ManifestError where the file is no store, or another study's.
    """

    def __init__(self, path: Path, study: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        try:
            with closing(self._open()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(TABLES)
                connection.execute("INSERT INTO study SELECT ? WHERE NOT EXISTS (SELECT 1 FROM study)", (study,))
                found = connection.execute("SELECT id FROM study").fetchall()
        except sqlite3.DatabaseError as cause:
            raise ManifestError(f"{path}: no store of votes: {cause}.", "Put a copy of it back.") from cause
        if found != [(study,)]:
            raise ManifestError(f"{path}: holds the votes of another study.", "Put this study's own file there.")
        private(path)

    def join(self, token: str, sheets: int, *, sheet: int | None = None, most: int | None = None) -> Seat | None:
        """The seat of a token, a new one for a new token: `sheet`, else the one with fewest raters, then fewest votes.

        None where `most` raters sit already.
        """
        digest = token_digest(token)
        with self._write() as connection:
            if (seat := _seat(connection, digest)) is not None:
                return seat
            (count,) = connection.execute("SELECT COUNT(*) FROM raters").fetchone()
            if most is not None and count >= most:
                return None
            chosen = _least_used(connection, sheets) if sheet is None else sheet
            day = datetime.now(UTC).date().isoformat()
            connection.execute("INSERT INTO raters (token, sheet, day) VALUES (?, ?, ?)", (digest, chosen, day))
            return _seat(connection, digest)

    def seat(self, token: str) -> Seat | None:
        """Whose token that is; None for nobody's."""
        with closing(self._open()) as connection:
            return _seat(connection, token_digest(token))

    def put(self, rater: int, vote: Vote) -> Vote | None:
        """Keep a vote and give back the one that is kept now: this one, or one of the same or a higher revision.

        Sent again it changes nothing. None where the rater has left.
        """
        return self.put_all(rater, [vote]).get(vote.slot)

    def put_all(self, rater: int, votes: Sequence[Vote]) -> dict[int, Vote]:
        """As `put`, all votes or none of them; what is kept now, by place; empty where the rater has left."""
        rows = [(rater, one.slot, one.revision, json.dumps(one.answers, sort_keys=True), one.seconds) for one in votes]
        with self._write() as connection:
            if not connection.execute("SELECT 1 FROM raters WHERE number = ?", (rater,)).fetchone():
                return {}
            connection.executemany(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?) ON CONFLICT (rater, slot) DO UPDATE SET "
                "revision = excluded.revision, answers = excluded.answers, seconds = excluded.seconds "
                "WHERE excluded.revision > votes.revision",
                rows,
            )
            kept = _votes(connection, "WHERE rater = ?", (rater,)).get(rater, [])
        return {vote.slot: vote for vote in kept}

    def votes_of(self, rater: int) -> tuple[Vote, ...]:
        """A rater's votes by place."""
        with closing(self._open()) as connection:
            return tuple(_votes(connection, "WHERE rater = ?", (rater,)).get(rater, ()))

    def everything(self) -> list[RaterVotes]:
        """All raters with their votes, in the order they joined, as of one moment.

        Raises ManifestError where the file is damaged.
        """
        try:
            with closing(self._open()) as connection:
                connection.execute("BEGIN")
                raters = connection.execute("SELECT number, sheet, day FROM raters ORDER BY number").fetchall()
                votes = _votes(connection, "", ())
        except (sqlite3.DatabaseError, ValueError, RecursionError) as cause:
            raise ManifestError(f"{self.path}: votes cannot be read: {cause}.", "Put a copy of it back.") from cause
        return [RaterVotes(number, sheet, day, tuple(votes.get(number, ()))) for number, sheet, day in raters]

    def forget(self, rater: int) -> bool:
        """Delete a rater and all their votes, also from the file's free space; False where there is no such rater."""
        with self._write() as connection:
            gone = connection.execute("DELETE FROM raters WHERE number = ?", (rater,)).rowcount > 0
        with closing(self._open()) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log holds what was written before
        return gone

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer comes between; undone whole by an error."""
        with closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise


def open_votes(study: Path, design: StudyDesign) -> VoteStore:
    """The store in a study's folder, made where there is none yet. Raises as VoteStore."""
    return VoteStore(study / VOTES, design.id)


def all_votes(study: Path, design: StudyDesign) -> list[RaterVotes]:
    """As `VoteStore.everything`, each vote such as the design asks for. Raises ManifestError for another, and as it."""
    store = open_votes(study, design)
    everything = store.everything()
    for one in everything:
        if why := _fault(design, one):
            raise ManifestError(f"{store.path}: rater {one.rater}: {why}.", "Put a copy of it back.")
    return everything


def _fault(design: StudyDesign, one: RaterVotes) -> str:
    """What a rater's votes have that no page sends; "" for nothing."""
    if type(one.sheet) is not int or not 0 <= one.sheet < len(design.sheets):
        return f"there is no sheet {one.sheet!r}"
    for vote in one.votes:
        if type(vote.slot) is not int or not 0 <= vote.slot < len(design.sheets[one.sheet]):
            return f"there is no place {vote.slot!r} on sheet {one.sheet}"
        if not isinstance(vote.seconds, float) or not 0 <= vote.seconds < math.inf:
            return f"place {vote.slot} took {vote.seconds!r} seconds"
        if why := design.refusal(vote.answers):
            return f"place {vote.slot}: {why}"
    return ""


def _seat(connection: sqlite3.Connection, digest: str) -> Seat | None:
    row = connection.execute("SELECT number, sheet FROM raters WHERE token = ?", (digest,)).fetchone()
    return Seat(*row) if row else None


def _least_used(connection: sqlite3.Connection, sheets: int) -> int:
    used = dict.fromkeys(range(sheets), (0, 0))
    query = (
        "SELECT sheet, COUNT(DISTINCT number), COUNT(slot) FROM raters LEFT JOIN votes ON rater = number GROUP BY sheet"
    )
    for sheet, raters, votes in connection.execute(query):
        used[sheet] = (raters, votes)
    return min(range(sheets), key=lambda sheet: (used[sheet], sheet))


def _votes(connection: sqlite3.Connection, where: str, values: tuple[int, ...]) -> dict[int, list[Vote]]:
    found: dict[int, list[Vote]] = {}
    # `where` is one of this file's own texts; what comes from outside is bound.
    query = f"SELECT rater, slot, revision, answers, seconds FROM votes {where} ORDER BY rater, slot"
    for rater, slot, revision, answers, seconds in connection.execute(query, values):
        found.setdefault(rater, []).append(Vote(slot, revision, json.loads(answers), seconds))
    return found
