"""Videos, references and runs on an s3-compatible server of this machine, fetched by several worker processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.errors import RemoteError
from mmbench.items import Item
from mmbench.remote import storage
from mmbench.remote.cache import forget
from mmbench.remote.path import RemotePath
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.inputs.manifest import write_manifest
from mmbench.runs.mirror import mirrored
from mmbench.video.write import write_video
from tests.remote.conftest import check_objects, keys

pytestmark = pytest.mark.slow
DIS = EvaluateSettings(metrics=("dynamic_degree", "motion_smoothness"), flow=FlowSettings(backend="dis"))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket as s3fs sees it; the environment leads to it, that of workers too."""
    moto = pytest.importorskip("moto.server", reason="needs moto[s3,server]")
    pytest.importorskip("s3fs", reason="needs the extra remote")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    said = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MMBENCH_CACHE": str(tmp_path / "cache"),
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=60)  # servers of one process share what they hold
    monkeypatch.setattr(storage, "_made", {})
    forget()
    type(storage.filesystem("s3://")).clear_instance_cache()
    storage._made.clear()
    found = storage.filesystem("s3://")
    found.mkdir("bucket")
    yield found
    server.stop()
    type(found).clear_instance_cache()
    forget()


@pytest.fixture
def videos(tmp_path: Path) -> list[Item]:
    """Four small clips."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(4):
        picture = rng.integers(0, 255, (72, 96, 3), dtype=np.uint8)
        frames = [np.roll(picture, step * number, axis=1) for step in range(9)]
        path = tmp_path / "here" / f"clip {number}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_video(path, frames, 8)
        items.append(Item(f"m/{number}", "m", "p", path))
    return items


def put(bucket: Any, items: list[Item]) -> list[Item]:
    for item in items:
        bucket.put_file(str(item.video), f"bucket/videos/{item.video.name}")
    return [dataclasses.replace(item, video=RemotePath(f"s3://bucket/videos/{item.video.name}")) for item in items]


def test_random_objects_come_back_and_a_change_is_noticed(bucket: Any) -> None:
    check_objects(bucket, "s3://bucket")  # only the ETag tells them apart
    with pytest.raises(RemoteError, match=r"s3://other/none: "):
        RemotePath("s3://other/none").read_bytes()


def test_an_evaluation_there_is_that_of_the_same_files_here(
    bucket: Any, videos: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(videos, tmp_path / "local", DIS)
    items = put(bucket, videos)
    table = tmp_path / "items.csv"
    write_manifest(table, items)
    bucket.put_file(str(table), "bucket/items.csv")
    items = read_manifest("s3://bucket/items.csv")
    bucket.rm("bucket/videos/clip 2.mp4")
    result = evaluate(items, "s3://bucket/runs/one", DIS, workers=2)
    assert [(row.item.id, row.error.type) for row in result.rows if row.error] == [("m/2", "RemoteError")]
    assert result.measured_now == 4
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "another machine"))
    bucket.put_file(str(videos[2].video), "bucket/videos/clip 2.mp4")
    again = evaluate(items, "s3://bucket/runs/one", DIS, workers=2)
    assert again.complete and again.measured_now == 1  # the others came with the run
    with mirrored("s3://bucket/runs/one", write=False) as here:
        assert keys(here) == keys(tmp_path / "local")


def test_a_server_that_is_gone_is_an_error_of_each_file(
    bucket: Any, videos: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = put(bucket, videos[:2])
    monkeypatch.setattr(storage, "ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(bucket).clear_instance_cache()
    storage._made.clear()
    forget()
    result = evaluate(items, tmp_path / "run", DIS)
    assert [row.error.type for row in result.rows if row.error] == ["RemoteError"] * 2
    assert all(str(row.item.video) in row.error.message for row in result.rows if row.error)
