"""Training data over a local Ray cluster of two nodes: the records of one process, though a node is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mmbench.data.build import build, build_on_cluster
from mmbench.data.check import check
from mmbench.data.drawn_corpus import drawn_settings
from mmbench.engine.ray import RayCluster
from mmbench.model.train.shards import ShardSet

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster of a head without processors and two nodes with one each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_parts_over_two_nodes_hold_the_records_of_the_whole(
    nodes: Any, picture_corpus: tuple[Path, Mapping[str, str]], tmp_path: Path
) -> None:
    settings = drawn_settings("A", picture_corpus[0], faces={"side": 64})
    build(settings, tmp_path / "whole")
    gone: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        if done == 1 and not gone:  # of three parts, one is under way and one waits
            nodes.remove_node(nodes.workers[1], allow_graceful=False)
            gone.append(done)

    found = build_on_cluster(settings, tmp_path / "parts", RayCluster(workers=3), progress)
    assert gone and list(found) == ["A.1-of-3", "A.2-of-3", "A.3-of-3"]
    assert all(step.complete for steps in found.values() for step in steps)
    folders = [tmp_path / "parts" / name / "images" for name in found]
    whole = ShardSet([tmp_path / "whole" / "A" / "images"])
    parts = ShardSet([folder for folder in folders if folder.is_dir()])
    assert sorted(parts.keys()) == sorted(whole.keys()) and len(whole) > 1
    assert check(tmp_path / "parts") == (len(whole), [])
    again = build_on_cluster(settings, tmp_path / "parts", RayCluster(workers=3))
    assert again == found
