"""Claims: one living holder a piece of work, heirs of the dead counted, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.engine import claims as module
from mmbench.engine.claims import FOLDER, TRIES, Claims, dead_at

HOLDER = """
import sys, time
from pathlib import Path
from mmbench.engine.claims import Claims
with Claims(Path(sys.argv[1]), work="a test") as claims:
    for name in sys.argv[2:]:
        print(name if claims.take(name) else "-", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds "a"."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "a\n"
        yield process
        process.kill()


def test_a_claim_is_one_processs(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with Claims(tmp_path) as claims:
        assert claims.take("a") is None and not claims.free("a")
        assert [said["work"] for said in claims.others()] == ["a test"]
        mine = claims.take("b")
        assert mine is not None and mine.dead == 0 and not claims.free("b")
        holder.communicate("")  # an orderly end gives back
        assert claims.free("a") and claims.others() == []
        taken = claims.take("a")
        assert taken is not None and taken.dead == 0
    assert not (tmp_path / FOLDER).exists()


def test_heirs_of_the_dead_are_counted(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with Claims(tmp_path) as claims:
        assert claims.free("a") and claims.others() == []
        heir = claims.take("a")
        assert heir is not None and heir.dead == 1 and not heir.hopeless
        claims.leave(heir)  # not done: the dead one stays counted
        again = claims.take("a")
        assert again is not None and again.dead == 1
        assert dead_at(tmp_path, "a") == 2
        claims.done(again)
        assert dead_at(tmp_path, "a") == 0
        fresh = claims.take("a")
        assert fresh is not None and fresh.dead == 0


def dead(folder: Path, name: str, times: int) -> None:
    """What killed holders leave: their claims, and no lock."""
    for _ in range(times):
        with Claims(folder) as claims:
            claim = claims.take(name)
            assert claim is not None
            kept = claim.path.read_bytes()
        claim.path.parent.mkdir(parents=True, exist_ok=True)
        claim.path.write_bytes(kept)


def test_what_kills_every_holder_is_hopeless(tmp_path: Path) -> None:
    dead(tmp_path, "a", TRIES)
    with Claims(tmp_path) as claims:
        claim = claims.take("a")
        assert claim is not None and claim.dead == TRIES and claim.hopeless


def test_a_holder_on_another_machine_is_known_by_its_signs_of_life(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_system", lambda: "another")
    with Claims(tmp_path) as claims:
        assert claims.take("a") is None
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert claims.take("a") is None  # it may live: its last sign is fresh
        (beat,) = [path for path in (tmp_path / FOLDER / "holders").glob("*.beat") if claims.id not in path.name]
        old = beat.stat().st_mtime - 2 * module.STALE_SECONDS
        os.utime(beat, (old, old))
        heir = claims.take("a")
        assert heir is not None and heir.dead == 1


@pytest.mark.parametrize("links", [True, False])
def test_a_claim_with_and_without_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """A file system that gives a file one name only has claims too."""

    def refuse(*paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        claim = one.take("a")
        assert claim is not None and json.loads(claim.path.read_text())["holder"] == one.id
        assert two.take("a") is None
        one.done(claim)
        assert two.take("a") is not None
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("at", [0, 1])
def test_an_heir_that_comes_while_the_work_is_given_back_is_not_alone_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """One reads that the first holder is dead, and before it makes the next claim the heir gives all back, a third
    takes the name: of these two one has it. `at`: after so many of the heir's files are gone the late one goes on."""
    dead(tmp_path, "a", 1)
    with Claims(tmp_path) as heir, Claims(tmp_path) as late, Claims(tmp_path) as third:
        claim = heir.take("a")
        assert claim is not None and claim.dead == 1
        make = late._create
        got: list[module.WorkClaim | None] = []

        def slowly(path: Path) -> None:
            if path.name.endswith(".1") and not got:
                got.append(None)
                heir.done(claim)
                got[0] = third.take("a") if at == 0 else None
            make(path)

        monkeypatch.setattr(late, "_create", slowly)
        found = [late.take("a"), *got] if at == 0 else [late.take("a"), third.take("a")]
        assert sum(each is not None for each in found) == 1


def test_what_died_while_it_gave_back_is_not_counted(tmp_path: Path) -> None:
    """Of three dead claims the lowest is gone: the work was done, and nobody died at what is next."""
    dead(tmp_path, "a", 3)
    with Claims(tmp_path) as claims:
        claims._path("a", 0).unlink()
        claim = claims.take("a")
        assert claim is not None and claim.dead == 0 and dead_at(tmp_path, "a") == 1
        claims.done(claim)
    assert not (tmp_path / FOLDER).exists()


def test_a_torn_claim_is_held_for_a_while(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        claim = claims.take("a")
        assert claim is not None
        torn = claim.path
        claims.leave(claim)
        torn.write_bytes(b"")
        assert claims.take("a") is None
        os.utime(torn, (1, 1))
        heir = claims.take("a")
        assert heir is not None and heir.dead == 1


def test_only_one_at_a_time(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        with Claims(tmp_path) as claims:
            for _ in range(3):
                with claims.only("record"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.01)
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and inside == [0]
    assert not (tmp_path / FOLDER).exists()


STEPS = st.lists(st.tuples(st.sampled_from(["take", "done", "leave", "die"]), st.integers(0, 3)), max_size=40)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_whatever_happens_one_living_holder_at_most(steps: list[tuple[str, int]]) -> None:
    """Random histories of four holders of one name against a model of who holds it and how many died."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as root:
        folder = Path(root)
        holders = [Claims(folder).__enter__() for _ in range(4)]
        held: dict[int, module.WorkClaim] = {}
        died = 0
        for act, who in steps:
            if act == "take" and who not in held:
                claim = holders[who].take("x")
                assert (claim is None) == bool(held)
                if claim is not None:
                    assert claim.dead == died
                    held[who] = claim
            elif who in held and act == "done":
                holders[who].done(held.pop(who))
                died = 0
            elif who in held and act == "leave":
                holders[who].leave(held.pop(who))
            elif who in held and act == "die":
                kept = held.pop(who).path
                text = kept.read_bytes()
                holders[who].__exit__(None, None, None)
                kept.write_bytes(text)
                died += 1
                holders[who] = Claims(folder).__enter__()
        for each in holders:
            each.__exit__(None, None, None)


SHARED = """
import random, sys, time
from pathlib import Path
from mmbench.engine.claims import Claims
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
names = [f"n{k}" for k in range(30)]
random.Random(seed).shuffle(names)
with Claims(folder) as claims:
    for name in names:
        claim = claims.take(name)
        if claim is None:
            continue
        if not (folder / name).exists():
            with (folder / "log").open("a") as log:
                log.write(f"{name}\\n")
            time.sleep(0.005)
            (folder / name).touch()
        claims.done(claim)
"""


def test_processes_share_and_are_killed(tmp_path: Path) -> None:
    """Three processes, killed and started again at random: all is done, and nothing twice but what a killed one had."""
    rng = random.Random(5)
    killed = 0

    def start(seed: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SHARED, str(tmp_path), str(seed)])

    for _ in range(6):
        running = [start(rng.randrange(1000)) for _ in range(3)]
        time.sleep(rng.uniform(0.1, 0.5))
        for process in running:
            killed += process.poll() is None
            process.kill()
            process.wait()
    last = start(0)
    assert last.wait() == 0
    begun = (tmp_path / "log").read_text().split()
    assert set(begun) == {f"n{k}" for k in range(30)} == {path.name for path in tmp_path.glob("n*")}
    assert len(begun) <= 30 + killed
    assert not list((tmp_path / FOLDER).glob("*.0")) if (tmp_path / FOLDER).exists() else True


def test_what_holders_say_is_read_by_others(tmp_path: Path) -> None:
    with Claims(tmp_path, work="one") as one, Claims(tmp_path, work="two") as two:
        one.tell(attempt=3)
        (said,) = two.others()
        assert said["work"] == "one" and said["attempt"] == 3 and said["process"] == os.getpid()
        path = next((tmp_path / FOLDER / "holders").glob(f"{one.id}.json"))
        assert json.loads(path.read_text())["holder"] == one.id
