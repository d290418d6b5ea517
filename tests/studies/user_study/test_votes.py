"""The store keeps one vote a place whatever comes twice, late or at once, and forgets for good."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.studies.user_study.design import (
    ASPECTS,
    DESIGN,
    KEY,
    Stimulus,
    StudyDesign,
    StudyKey,
    StudyTask,
    read_design,
    read_key,
    write_part,
)
from mmbench.studies.user_study.votes import Vote, VoteStore, all_votes, new_token, open_votes, token_digest


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


def study_of(folder: Path) -> StudyDesign:
    name = "0" * 32 + ".mp4"
    design = StudyDesign(
        id="s", kind="aspects", title="T", consent="C", questions=ASPECTS[:1],
        tasks=(StudyTask(clips=(name,)),), sheets=((0,), (0, 0)),
    )  # fmt: skip
    write_part(folder / DESIGN, design)
    return design


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE raters SET sheet = 9", "no sheet 9"),
        ("UPDATE raters SET sheet = -1", "no sheet -1"),
        ("UPDATE raters SET sheet = 'x'", "no sheet 'x'"),
        ("UPDATE votes SET slot = 7", "no place 7"),
        ("UPDATE votes SET slot = -1", "no place -1"),
        ("UPDATE votes SET seconds = 'long'", "'long' seconds"),
        ("UPDATE votes SET seconds = 1e999", "inf seconds"),
        ("UPDATE votes SET answers = '{'", "cannot be read"),
        ("UPDATE votes SET answers = '[1]'", "an object"),
        ("UPDATE votes SET answers = '{\"visual_quality\": 11}'", "from 1 to 10"),
        ("UPDATE votes SET answers = '{\"other\": 1}'", "every question"),
        ("DROP TABLE votes", "cannot be read"),
    ],
)
def test_votes_that_no_page_sends_are_named_and_not_counted(tmp_path: Path, change: str, told: str) -> None:
    design = study_of(tmp_path)
    store = open_votes(tmp_path, design)
    store.put(seated(store), Vote(0, 1, {"visual_quality": 5}, 1.0))
    (one,) = all_votes(tmp_path, design)
    assert one.votes == (Vote(0, 1, {"visual_quality": 5}, 1.0),)
    held = store.everything
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(change)
    if "DROP" in change:
        with pytest.raises(ManifestError, match=told):
            held()
        return
    with pytest.raises(ManifestError, match=told):
        all_votes(tmp_path, design)


def test_a_file_with_a_damaged_page_is_told(tmp_path: Path) -> None:
    design = study_of(tmp_path)
    store = open_votes(tmp_path, design)
    for _ in range(300):
        store.put(seated(store), Vote(0, 1, {"visual_quality": 5}, 1.0))
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = bytearray(store.path.read_bytes())
    whole[3 * 4096 :] = b"\xff" * (len(whole) - 3 * 4096)
    store.path.write_bytes(whole)
    with pytest.raises(ManifestError, match=r"votes\.sqlite"):
        all_votes(tmp_path, design)


def test_two_questions_of_one_id_or_with_one_that_servers_refuse_are_no_study(tmp_path: Path) -> None:
    design = study_of(tmp_path).model_dump()
    for ids in (["a", "a"], [""], ["a" * 65]):
        design["questions"] = [{"id": name, "title": "T"} for name in ids]
        (tmp_path / DESIGN).write_text(json.dumps(design))
        with pytest.raises(ManifestError, match="ids of questions"):
            read_design(tmp_path)


def test_a_key_that_does_not_fit_its_study_is_refused(tmp_path: Path) -> None:
    design = study_of(tmp_path)
    (name,) = design.media
    seen = Stimulus(model="m", item="i", identity="p", scene="s")
    key = StudyKey(id="s", seed=0, runs=(), stimuli={name: seen}, checks={}, invitations={"d": 1})
    write_part(tmp_path / KEY, key)
    assert read_key(tmp_path) == key
    for changed, told in (({"stimuli": {}}, "does not say what"), ({"invitations": {"d": 2}}, "invites to a sheet")):
        write_part(tmp_path / KEY, key.model_copy(update=changed))
        with pytest.raises(ManifestError, match=told):
            read_key(tmp_path)
