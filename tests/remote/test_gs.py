"""Videos and runs on a server of this machine that speaks Google Cloud Storage's protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.items import Item
from mmbench.remote import storage
from mmbench.remote.cache import forget
from mmbench.remote.path import RemotePath
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.mirror import mirrored
from mmbench.video.write import write_video
from tests.remote.conftest import check_objects, keys

pytestmark = pytest.mark.slow
DIS = EvaluateSettings(metrics=("motion_smoothness",), flow=FlowSettings(backend="dis"))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket as gcsfs sees it."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
    gcsfs = pytest.importorskip("gcsfs", reason="needs gcsfs")
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    host, port = server._api._httpd.server_address[:2]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "_made", {})
    gcsfs.GCSFileSystem.clear_instance_cache()
    forget()
    yield storage.filesystem("gs://")
    server.stop()
    gcsfs.GCSFileSystem.clear_instance_cache()
    forget()


def test_random_objects_come_back_and_a_change_is_noticed(bucket: Any) -> None:
    check_objects(bucket, "gs://bucket")


def test_an_evaluation_there_is_that_of_the_same_files_here(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = [], []
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 255, (72, 96, 3), dtype=np.uint8)
        path = tmp_path / f"clip {number}.mp4"
        write_video(path, [np.roll(picture, step * number, axis=1) for step in range(9)], 8)
        bucket.put_file(str(path), f"bucket/videos/{path.name}")
        here.append(Item(f"m/{number}", "m", "p", path))
        there.append(dataclasses.replace(here[-1], video=RemotePath(f"gs://bucket/videos/{path.name}")))
    evaluate(here, tmp_path / "local", DIS)
    assert evaluate(there, "gs://bucket/runs/one", DIS).measured_now == 3
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "another machine"))
    forget()
    assert evaluate(there, "gs://bucket/runs/one", DIS).measured_now == 0

    with mirrored("gs://bucket/runs/one", write=False) as copy:
        assert keys(copy) == keys(tmp_path / "local")
