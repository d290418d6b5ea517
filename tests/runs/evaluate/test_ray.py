"""An evaluation over a local Ray cluster of two nodes: rows equal those of one process, whatever dies."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmbench.config import EvaluateSettings
from mmbench.engine.ray import RayCluster
from mmbench.engine.spread import Spread
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.store import read_rows
from tests.engine.processes import served_here

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(toy_metrics: Path) -> Iterator[Any]:
    """A cluster of a head without processors and two nodes with one each."""
    from ray.cluster_utils import Cluster

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
