"""An evaluation over a local Ray cluster of two nodes: rows equal those of one process, whatever dies."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mmbench.config import EvaluateSettings
from mmbench.engine.claims import Claims
from mmbench.engine.ray import RayCluster
from mmbench.engine.spread import Spread
from mmbench.items import Item
from mmbench.runs.evaluate.clip import Task
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.evaluate.work import Errand, measuring_only
from tests.engine.processes import served_here

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(toy_metrics: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of a head without processors and two nodes with one each."""
    from ray.cluster_utils import Cluster

    root = Path(__file__).resolve().parents[3]  # where actors find the functions of this file
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ["PYTHONPATH"]]))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


METRICS = EvaluateSettings(metrics=("length", "brightness", "brightness_range"))


def rows(run: Path) -> list[str]:
    found = []
    for row in (one for part in read_rows(run) for one in part):
        data = row.to_json()
        for part in [data, *data["scores"]]:
            part.pop("seconds", None)
        found.append(json.dumps(data, sort_keys=True))
    return sorted(found)


def test_a_node_is_lost_and_rows_are_those_of_one_process(nodes: Any, clips: list[Item], tmp_path: Path) -> None:
    evaluate(clips, tmp_path / "one", METRICS)
    gone = []

    def progress(done: int, total: int, what: str) -> None:
        if what == "clips" and done >= 5 and not gone:
            nodes.remove_node(nodes.workers[0], allow_graceful=False)
            gone.append(done)

    result = evaluate(clips, tmp_path / "ray", METRICS, progress=progress, spread=Spread(cluster=RayCluster(workers=2)))
    assert gone and result.complete and result.measured_now == len(clips)
    assert rows(tmp_path / "ray") == rows(tmp_path / "one")
    assert not (tmp_path / "ray" / ".claims").exists()


def test_actors_killed_at_random_twenty_times_leave_the_rows_of_one_process(
    nodes: Any, clips: list[Item], tmp_path: Path
) -> None:
    """In each of three evaluations one of the two dies after every third clip, busy or idle.

    A clip at which three die by chance, while they load what they need, is a row with that reason; tried again without
    deaths, it is as all others.
    """
    evaluate(clips, tmp_path / "one", METRICS)
    dice, killed = random.Random(5), list[int]()

    def progress(done: int, total: int, what: str) -> None:
        if what == "clips" and 0 < done < total and done % 3 == 0 and (alive := served_here()):
            time.sleep(dice.random() * 0.02)
            os.kill(dice.choice(alive), signal.SIGKILL)
            killed.append(done)

    spread = Spread(cluster=RayCluster(workers=2))
    for number in range(3):
        run = tmp_path / f"ray{number}"
        result = evaluate(clips, run, METRICS, progress=progress, spread=spread)
        assert result.measured_now == len(clips) and len(read_rows(run)[0]) == len(clips)
        if failed := [row for row in read_rows(run)[0] if row.error]:
            assert len(failed) <= 3 and all(row.error and row.error.type == "WorkerDied" for row in failed)
            assert evaluate(clips, run, METRICS, retry=True).measured_now == len(failed)
        assert rows(run) == rows(tmp_path / "one")
    assert len(killed) >= 20


def test_ctrl_c_leaves_rows_and_the_rest_is_done_later(nodes: Any, clips: list[Item], tmp_path: Path) -> None:
    def progress(done: int, total: int, what: str) -> None:
        if what == "clips" and done >= 4:
            raise KeyboardInterrupt

    spread = Spread(cluster=RayCluster(workers=2))
    with pytest.raises(KeyboardInterrupt):
        evaluate(clips, tmp_path / "ray", METRICS, progress=progress, spread=spread)
    assert len(read_rows(tmp_path / "ray")[0]) == 4
    result = evaluate(clips, tmp_path / "ray", METRICS, spread=spread)
    assert result.measured_now == len(clips) - 4 and result.complete
    evaluate(clips, tmp_path / "one", METRICS)
    assert rows(tmp_path / "ray") == rows(tmp_path / "one")


class Noting:
    """An actor's function that notes what it expects and does.

    With the item that the file "slow" names it waits, its row made, until eight items were begun anywhere.
    """

    def __init__(self, do: Any, folder: Path) -> None:
        self.do, self.log, slow = do, folder / "log", folder / "slow"
        self.slow = slow.read_text() if slow.exists() else None

    def note(self, what: str, task: Task) -> None:
        with self.log.open("a") as file:
            print(os.getpid(), what, task.item.id, file=file)

    def expect(self, task: Task) -> None:
        self.note("expects", task)
        self.do.expect(task)

    def __call__(self, task: Task) -> ItemRow:
        self.note("does", task)
        row: ItemRow = self.do(task)
        until = time.monotonic() + 60
        while task.item.id == self.slow and self.log.read_text().count(" does ") < 8 and time.monotonic() < until:
            time.sleep(0.02)
        return row


@contextmanager
def noting(errand: Errand, worker: int) -> Iterator[Noting]:
    with measuring_only(errand, worker) as do:
        yield Noting(do, errand.gatherer.run.parent)


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Evaluates over two actors; what they noted: process, "expects" or "does", an item's id."""
    monkeypatch.setattr("mmbench.runs.evaluate.work.measuring_only", noting)

    def call(items: list[Item], run: Path, **options: Any) -> list[tuple[str, str, str]]:
        spread = Spread(cluster=RayCluster(workers=2))
        assert evaluate(items, run, METRICS, spread=spread, **options).measured_now == len(items)
        lines = [line.split(maxsplit=2) for line in (run.parent / "log").read_text().splitlines()]
        return [(process, what, item) for process, what, item in lines]

    return call


def done(noted: list[tuple[str, str, str]]) -> list[str]:
    return sorted(item for _, what, item in noted if what == "does")


def test_clips_are_foretold_and_broken_ones_are_rows_as_in_one_process(
    nodes: Any, mixed: list[Item], tmp_path: Path, on_ray: Any
) -> None:
    evaluate(mixed, tmp_path / "one", METRICS)
    noted = on_ray(mixed, tmp_path / "ray")
    foretold = {item for _, what, item in noted if what == "expects"}
    assert len(foretold) >= len(mixed) - 2, "all but each actor's first, so one of the three broken ones at least"
    assert done(noted) == sorted(item.id for item in mixed)
    assert rows(tmp_path / "ray") == rows(tmp_path / "one")


def test_a_clip_that_was_foretold_to_one_actor_is_measured_by_another(
    nodes: Any, clips: list[Item], tmp_path: Path, on_ray: Any
) -> None:
    """It has begun with it when the other one, which has nothing else left, takes it."""
    some = clips[:8]
    evaluate(some, tmp_path / "one", METRICS)
    (tmp_path / "slow").write_text(some[0].id)
    noted = on_ray(some, tmp_path / "ray")
    slow = next(process for process, what, item in noted if (what, item) == ("does", some[0].id))
    told = {item for process, what, item in noted if process == slow and what == "expects"}
    assert told & {item for process, what, item in noted if process != slow and what == "does"}
    assert done(noted) == sorted(item.id for item in some)
    assert rows(tmp_path / "ray") == rows(tmp_path / "one")


def test_a_foretold_clip_that_another_process_has_waits_for_it(
    nodes: Any, clips: list[Item], tmp_path: Path, on_ray: Any
) -> None:
    """Nobody measures it twice: when the other one gives it back undone, it is done."""
    some, run = clips[:8], tmp_path / "ray"
    evaluate(some, tmp_path / "one", METRICS)
    with Claims(run) as claims:
        claim = claims.take(some[3].id)
        assert claim is not None
        given_back = []

        def progress(done: int, total: int, what: str) -> None:
            if what == "clips" and done == len(some) - 1 and not given_back:
                claims.leave(claim)
                given_back.append(done)

        noted = on_ray(some, run, progress=progress)
    assert given_back and done(noted) == sorted(item.id for item in some)
    assert rows(run) == rows(tmp_path / "one")


def test_beside_a_clip_at_which_a_process_died_nothing_is_begun(
    nodes: Any, clips: list[Item], tmp_path: Path, on_ray: Any
) -> None:
    some, run = clips[:8], tmp_path / "ray"
    code = "import os, sys; from pathlib import Path; from mmbench.engine.claims import Claims\n"
    code += "assert Claims(Path(sys.argv[1])).__enter__().take(sys.argv[2])\nos._exit(1)"
    assert subprocess.run([sys.executable, "-c", code, str(run), some[3].id], check=False).returncode == 1
    noted = on_ray(some, run)
    at = next(k for k, (_, what, item) in enumerate(noted) if (what, item) == ("does", some[3].id))
    before = [what for process, what, _ in noted[:at] if process == noted[at][0]]
    assert before[-1:] != ["expects"]
    assert any(what == "expects" for _, what, _ in noted)
