"""Tasks over a local Ray cluster of two nodes: all done once, whatever dies."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mmbench.engine.ray import Admission, RayCluster, run_on_ray
from mmbench.errors import MediaError, WorkerDied
from tests.engine.processes import served_here

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of a head without processors and two nodes with one each."""
    from ray.cluster_utils import Cluster

    root = Path(__file__).resolve().parent.parent.parent  # where actors find the functions of this file
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@contextmanager
def noting(log: Path, worker: int) -> Iterator[Callable[[str], str]]:
    """A worker that notes its making and every task, and does what the task says."""
    with log.open("a") as file:
        file.write(f"made {os.getpid()}\n")

    def do(task: str) -> str:
        with log.open("a") as file:
            file.write(f"{task} {os.getpid()}\n")
        if task.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.startswith("raise"):
            raise MediaError(f"{task}: broken.", "Mend it.")
        time.sleep(0.05)
        return task.upper()

    yield do


def run(tasks: list[str], log: Path, **options: Any) -> dict[str, str]:
    results: dict[str, str] = {}

    def on_result(task: str, result: str) -> None:
        assert task not in results
        results[task] = result

    setup = partial(noting, log)
    cluster = RayCluster(workers=2)
    run_on_ray(tasks, setup, cluster, on_result=on_result, lost=lambda task, died: f"lost: {died.message}", **options)
    return results


def test_tasks_over_two_nodes(nodes: Any, tmp_path: Path) -> None:
    tasks = [f"t{number}" for number in range(20)]
    assert run(tasks, tmp_path / "log") == {task: task.upper() for task in tasks}
    lines = (tmp_path / "log").read_text().split("\n")
    makers = {line.split()[1] for line in lines if line.startswith("made")}
    assert len(makers) == 2  # what a worker needs is made once a process


def test_a_task_that_kills_its_actor_is_lost_and_the_others_are_done(nodes: Any, tmp_path: Path) -> None:
    results = run(["a", "die", "b", "c"], tmp_path / "log")
    assert {task: results[task] for task in "abc"} == {"a": "A", "b": "B", "c": "C"}
    assert results["die"].startswith("lost: ")
    assert (tmp_path / "log").read_text().count("die ") == 3


def test_actors_killed_at_random_twenty_times_lose_and_double_nothing(nodes: Any, tmp_path: Path) -> None:
    """One of the two dies after every third result, busy or idle: a task's second try comes before the next death."""
    dice, killed = random.Random(20), list[str]()
    results: dict[str, str] = {}

    def on_result(task: str, result: str) -> None:
        assert task not in results
        results[task] = result
        if len(results) % 3 == 0 and len(killed) < 20 and (alive := served_here()):
            time.sleep(dice.random() * 0.05)
            os.kill(dice.choice(alive), signal.SIGKILL)
            killed.append(task)

    tasks = [f"t{number}" for number in range(80)]
    setup = partial(noting, tmp_path / "log")
    run_on_ray(tasks, setup, RayCluster(workers=2), on_result=on_result, lost=lambda task, died: "lost")
    assert len(killed) == 20
    assert results == {task: task.upper() for task in tasks}


def test_errors_come_as_they_were(nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="raise me: broken"):
        run(["a", "raise me"], tmp_path / "log")


def test_a_cluster_without_room_is_told(nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmbench.engine.ray.READY_SECONDS", 2.0)
    with pytest.raises(WorkerDied, match="no room"):
        run_on_ray(["a"], partial(noting, tmp_path / "log"), RayCluster(workers=1, gpus=1), on_result=print, lost=print)


def test_without_an_address_a_cluster_that_runs_here_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    root = Path(__file__).resolve().parent.parent.parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    somebody = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    monkeypatch.setenv("RAY_ADDRESS", somebody.address)
    try:
        assert not ray.is_initialized()
        assert run(["a", "b"], tmp_path / "log") == {"a": "A", "b": "B"}
        assert not ray.is_initialized()
    finally:
        somebody.shutdown()


class Telling:
    """Notes what it is told will follow, and dies of a task "poison" whether it is told of it or given it."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def note(self, what: str, task: str) -> None:
        with self.log.open("a") as file:
            print(os.getpid(), what, task, file=file)
        if task.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)

    def expect(self, task: str) -> None:
        self.note("expects", task)

    def __call__(self, task: str) -> str:
        self.note("does", task)
        time.sleep(0.05)
        until = time.monotonic() + 60
        while task == "last" and len(self.done()) < 6 and time.monotonic() < until:
            time.sleep(0.02)  # until all others are done
        return task.upper()

    def done(self) -> list[str]:
        """Tasks that were begun anywhere."""
        return [line.split()[2] for line in self.log.read_text().splitlines() if " does " in line]


@contextmanager
def telling(log: Path, worker: int) -> Iterator[Telling]:
    yield Telling(log)


def foretold(tasks: list[str], log: Path, **options: Any) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Results of tasks that are foretold to two actors, and what these noted: process, "expects" or "does", task."""
    results: dict[str, str] = {}

    def on_result(task: str, result: str) -> None:
        assert task not in results
        results[task] = result

    def lost(task: str, died: WorkerDied) -> str:
        return "lost"

    options = {"admit": lambda task: Admission.AHEAD, **options}
    run_on_ray(tasks, partial(telling, log), RayCluster(workers=2), on_result=on_result, lost=lost, **options)
    lines = [line.split() for line in log.read_text().splitlines()]
    return results, [(process, what, task) for process, what, task in lines]


def test_actors_are_told_what_follows(nodes: Any, tmp_path: Path) -> None:
    """No task is foretold to two, and most come where they were foretold."""
    tasks = [f"t{number}" for number in range(24)]
    results, noted = foretold(tasks, tmp_path / "log")
    assert results == {task: task.upper() for task in tasks}
    told = [(process, task) for process, what, task in noted if what == "expects"]
    assert len({task for _, task in told}) == len(told)
    did = {(process, task) for process, what, task in noted if what == "does"}
    assert len(did.intersection(told)) >= len(tasks) - 4


def test_what_was_foretold_to_a_busy_actor_is_done_by_a_free_one(nodes: Any, tmp_path: Path) -> None:
    results, noted = foretold(["last", "a", "b", "c", "d", "e"], tmp_path / "log")
    assert results == {task: task.upper() for task in ["last", "a", "b", "c", "d", "e"]}
    busy = next(process for process, what, task in noted if (what, task) == ("does", "last"))
    told = {task for process, what, task in noted if process == busy and what == "expects"}
    others = {task for process, what, task in noted if process != busy and what == "does"}
    assert told & others
    assert sorted(task for _, what, task in noted if what == "does") == ["a", "b", "c", "d", "e", "last"]


def test_a_task_that_kills_when_foretold_costs_no_other_actor_its_task(nodes: Any, tmp_path: Path) -> None:
    tasks = ["a", "b", "poison1", "c", "poison2", "poison3", "d", "e"]
    results, _ = foretold(tasks, tmp_path / "log")
    assert results == {task: "lost" if task.startswith("poison") else task.upper() for task in tasks}


def test_each_task_is_admitted_once_and_none_is_beside_one_that_has_to_be_alone(nodes: Any, tmp_path: Path) -> None:
    """What somebody else has is passed over when its turn comes, foretold or not; a task that is given again is not."""
    tasks, asked = [f"t{number}" for number in range(16)] + ["poison"], []
    others = {"t3", "t4", "t9", "t15"}

    def admit(task: str) -> Admission:
        asked.append(task)
        return Admission.NO if task in others else Admission.ALONE if task == "t6" else Admission.AHEAD

    results, noted = foretold(tasks, tmp_path / "log", admit=admit)
    assert sorted(asked) == sorted(tasks)
    assert results == {**{task: task.upper() for task in tasks if task not in others}, "poison": "lost"}
    before = next(k for k, line in enumerate(noted) if line[1:] == ("does", "t6"))
    own = [what for process, what, _ in noted[:before] if process == noted[before][0]]
    assert own[-1:] != ["expects"]


def test_where_nothing_is_admitted_no_actor_is_waited_for(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmbench.engine.ray.READY_SECONDS", 0.0)
    run_on_ray(
        ["a", "b"],
        partial(telling, tmp_path / "log"),
        RayCluster(workers=1, gpus=1),  # of which the cluster has none
        on_result=lambda task, result: pytest.fail(f"{task} was done"),
        lost=lambda task, died: "lost",
        admit=lambda task: Admission.NO,
    )
    assert not (tmp_path / "log").exists()
