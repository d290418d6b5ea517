"""A build that is killed goes on as if it had not been."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.data.build import build
from mmbench.data.drawn_corpus import drawn_settings
from mmbench.data.ledger import Atom, Ledger, Outcome, Stage, run_stages
from mmbench.data.types import Candidate, Dropped
from mmbench.errors import MediaError
from mmbench.files import silent
from mmbench.model.train.shards import ShardSet

START = Candidate("start", "")


class Count(Stage):
    """Eight candidates."""

    name = "count"

    def decide(self, atom: Atom) -> Outcome:
        return Outcome(tuple(Candidate(f"k-{number}", "") for number in range(8)))


class Every(Stage):
    """Keeps some of those it can read; what it kept before decides, with one thread."""

    name = "every"
    filters = ("odd",)

    def __init__(self, threads: int = 1) -> None:
        self.threads, self.before, self.decided = threads, 0, 0

    def recall(self, outcome: Outcome) -> None:
        self.before += 1 + len(outcome.kept)

    def decide(self, atom: Atom) -> Outcome:
        self.decided += 1
        row = atom[0]
        if row.key == "k-3":
            raise MediaError("k-3: broken.", "Mend it.")
        if self.threads == 1 and self.before % 4 == 2:
            return Outcome(dropped=(Dropped(row.key, "odd", float(self.before)),))
        return Outcome((replace(row, facts={"before": self.before if self.threads == 1 else 0}),))


def run(folder: Path, threads: int = 1) -> Every:
    last = Every(threads)
    run_stages([Count(), last], START, folder, silent)
    return last


@settings(max_examples=30)
@given(share=st.floats(0, 1))
def test_a_ledger_cut_anywhere_is_made_whole_again(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("run")
    ledger = folder / "every.jsonl"
    run(folder)
    written = ledger.read_bytes()
    keep = int(share * len(written))
    ledger.write_bytes(written[:keep])
    whole = max(0, written[:keep].count(b"\n") - 1)
    assert run(folder).decided == 8 - min(whole, 8)  # nothing that was written is done twice
    assert ledger.read_bytes() == written
    shutil.rmtree(folder)


def test_threads_keep_the_order(tmp_path: Path) -> None:
    run(tmp_path / "one", 4)
    assert [row.key for row in Ledger(tmp_path / "one" / "every.jsonl").kept()] == [
        f"k-{number}" for number in range(8) if number != 3
    ]
    counts = Ledger(tmp_path / "one" / "every.jsonl").counts()
    assert counts is not None
    assert (counts.given, counts.kept, counts.dropped) == (8, 7, {"odd": 0, "unreadable": 1})


KILL = """
import os, signal, sys
from pathlib import Path
from mmbench.data.build import build
from mmbench.data.settings import DataSettings
left = int(sys.argv[3])
def progress(done, total, what):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
build(DataSettings.from_yaml(Path(sys.argv[1])), Path(sys.argv[2]), progress=progress)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_build_equals_an_uninterrupted_one(
    picture_corpus: tuple[Path, Mapping[str, str]], built_a: Path, tmp_path: Path
) -> None:
    chosen = drawn_settings("A", picture_corpus[0], shard_records=1)
    (tmp_path / "data.yaml").write_text(chosen.to_yaml())
    for calls in (8, 20):  # among the faces; between the two shards
        command = [sys.executable, "-c", KILL, str(tmp_path / "data.yaml"), str(tmp_path / "killed"), str(calls)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "killed" / "A" / "images").glob("*.tar")] == ["000000.tar"]
    build(chosen, tmp_path / "killed")
    for ledger in (built_a / "A").glob("*.jsonl"):
        assert list(Ledger(tmp_path / "killed" / "A" / ledger.name).outcomes()) == list(Ledger(ledger).outcomes())
    one, other = ShardSet([built_a / "A" / "images"]), ShardSet([tmp_path / "killed" / "A" / "images"])
    assert one.keys() == other.keys()
    for index in range(len(one)):
        torch.testing.assert_close(one[index].latents, other[index].latents, rtol=1e-4, atol=1e-4)  # fitted anew
