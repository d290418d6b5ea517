"""The store keeps one vote a place whatever comes twice, late or at once, and forgets for good."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.studies.user_study.votes import Vote, VoteStore, new_token, token_digest


def seated(store: VoteStore) -> int:
    seat = store.join(new_token(), 4)
    assert seat is not None
    return seat.rater


@given(st.permutations([(revision, twice) for revision in range(1, 5) for twice in (0, 1)]))
@settings(max_examples=30, deadline=None)
def test_whatever_order_votes_arrive_in_the_last_change_of_mind_stays(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, int]]
) -> None:
    store = VoteStore(tmp_path_factory.mktemp("votes") / "votes.sqlite", "s")
    rater = seated(store)
    for revision, _ in arrivals:
        kept = store.put(rater, Vote(3, revision, {"overall": revision}, 1.0))
        assert kept is not None and kept.revision >= revision
    assert [(vote.slot, vote.answers) for vote in store.votes_of(rater)] == [(3, {"overall": 4})]


def test_a_second_vote_of_the_same_revision_changes_nothing(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")
    rater = seated(store)
    store.put(rater, Vote(0, 1, {"overall": 3}, 1.0))
    kept = store.put(rater, Vote(0, 1, {"overall": 9}, 1.0))
    assert kept is not None and kept.answers == {"overall": 3}


def test_many_raters_at_once_lose_nothing(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")

    def work() -> None:
        mine = VoteStore(store.path, "s")
        rater = seated(mine)
        for slot in range(40):
            for _ in range(2):
                mine.put(rater, Vote(slot, 1, {"overall": slot % 10 + 1}, 0.5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = store.everything()
    assert len(everything) == 8
    assert sorted(one.sheet for one in everything) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(
        [(vote.slot, vote.answers["overall"]) for vote in one.votes] == [(slot, slot % 10 + 1) for slot in range(40)]
        for one in everything
    )


def test_a_torn_transaction_leaves_no_trace(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")
    rater = seated(store)
    with pytest.raises(sqlite3.IntegrityError), store._write() as connection:
        connection.execute("INSERT INTO votes VALUES (?, 0, 1, '{}', 0)", (rater,))
        connection.execute("INSERT INTO votes VALUES (999, 0, 1, '{}', 0)")
    assert store.votes_of(rater) == ()


def test_the_log_is_written_ahead_and_a_token_is_not_kept(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")
    token = new_token()
    store.join(token, 2)
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in held
    assert token_digest(token).encode() in held


def test_the_same_token_is_the_same_seat_and_seats_can_run_out(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")
    token = new_token()
    assert store.join(token, 3, sheet=2) == store.join(token, 3) == store.seat(token)
    assert store.join(new_token(), 3, most=1) is None
    assert store.seat("nobody") is None


def test_an_abandoned_sheet_is_given_out_again_before_a_finished_one(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")
    raters = [seated(store) for _ in range(4)]
    for rater in raters:
        for slot in range(1 if rater == raters[2] else 5):
            store.put(rater, Vote(slot, 1, {"overall": 1}, 1.0))
    seat = store.join(new_token(), 4)
    assert seat is not None and seat.sheet == 2


def test_forgotten_answers_are_gone_from_the_file_too(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite", "s")
    rater, other = seated(store), seated(store)
    store.put(rater, Vote(0, 1, {"a very rare question": 7}, 1.0))
    store.put(other, Vote(0, 1, {"overall": 7}, 1.0))
    assert store.forget(rater) and not store.forget(rater)
    assert store.put(rater, Vote(0, 2, {"overall": 7}, 1.0)) is None
    assert [one.rater for one in store.everything()] == [other]
    assert b"a very rare question" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    VoteStore(tmp_path / "votes.sqlite", "s")
    with pytest.raises(ManifestError, match="another study"):
        VoteStore(tmp_path / "votes.sqlite", "t")
    (tmp_path / "text.sqlite").write_text("no database, but long enough to be read as a header" * 40)
    with pytest.raises(ManifestError, match="no store of votes"):
        VoteStore(tmp_path / "text.sqlite", "s")
