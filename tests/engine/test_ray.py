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

from mmbench.engine.ray import RayCluster, run_on_ray
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
