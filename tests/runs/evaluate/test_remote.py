"""Videos and references of remote storage are measured as the same files here; what cannot be had is a row."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.errors import ManifestError, MissingDependency
from mmbench.items import Item
from mmbench.remote.cache import forget
from mmbench.remote.path import RemotePath
from mmbench.remote.storage import filesystem
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_folder, read_manifest
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.inputs.manifest import write_manifest

DIS = EvaluateSettings(metrics=("dynamic_degree", "motion_smoothness"), flow=FlowSettings(backend="dis"))
TOY = EvaluateSettings(metrics=("length",))


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("fsspec", reason="needs the extra remote")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MMBENCH_OFFLINE", raising=False)
    storage = filesystem("memory://")
    storage.store.clear()
    forget()
    yield storage
    storage.store.clear()
    forget()


def put(memory: Any, items: list[Item]) -> list[Item]:
    """The items with their videos there."""
    time.sleep(0.002)
    for item in items:
        memory.pipe_file(f"memory://bucket/{item.id}.mp4", item.video.read_bytes())
    return [dataclasses.replace(item, video=RemotePath(f"memory://bucket/{item.id}.mp4")) for item in items]


def test_rows_are_those_of_the_same_files_here_but_for_the_urls(tmp_path: Path, clips: list[Item], memory: Any) -> None:
    here = evaluate(clips[:4], tmp_path / "here", DIS)
    there = evaluate(put(memory, clips[:4]), tmp_path / "there", DIS)
    assert there.complete
    for one, other in zip(here.rows, there.rows, strict=True):
        assert str(other.item.video) == f"memory://bucket/{one.item.id}.mp4"
        assert one.clip == other.clip
        assert [(s.metric, s.value, s.inputs) for s in one.scores] == [
            (s.metric, s.value, s.inputs) for s in other.scores
        ]
    assert evaluate(put(memory, clips[:4]), tmp_path / "there", DIS).measured_now == 0
    assert "memory://bucket/" in (tmp_path / "there" / "manifest.json").read_text()


def test_one_missing_object_is_a_row_and_measured_when_it_is_there(
    tmp_path: Path, clips: list[Item], memory: Any, toy_metrics: Path
) -> None:
    items = put(memory, clips[:3])
    data = memory.cat_file(str(items[1].video))
    memory.rm(str(items[1].video))
    result = evaluate(items, tmp_path / "run", TOY)
    assert [row.error is None for row in result.rows] == [True, False, True]
    error = result.rows[1].error
    assert error is not None
    assert (error.type, error.message) == ("RemoteError", f"{items[1].video}: there is no such object.")
    memory.pipe_file(str(items[1].video), data)
    again = evaluate(items, tmp_path / "run", TOY)
    assert again.measured_now == 1
    assert all(row.error is None for row in again.rows)
    assert len(read_rows(tmp_path / "run")[0]) == 3


def test_a_changed_object_is_measured_again_and_no_other(
    tmp_path: Path, clips: list[Item], memory: Any, toy_metrics: Path
) -> None:
    items = put(memory, clips[:3])
    evaluate(items, tmp_path / "run", TOY)
    memory.pipe_file(str(items[2].video), clips[5].video.read_bytes())
    assert evaluate(items, tmp_path / "run", TOY).measured_now == 1


def test_a_broken_object_is_told_by_its_url(tmp_path: Path, clips: list[Item], memory: Any, toy_metrics: Path) -> None:
    items = put(memory, clips[:2])
    memory.pipe_file(str(items[0].video), clips[0].video.read_bytes()[:500])
    error = evaluate(items, tmp_path / "run", TOY).rows[0].error
    assert error is not None
    assert error.message.startswith(f"{items[0].video}: ")


def test_a_manifest_there_names_videos_beside_it_and_by_url(
    tmp_path: Path, clips: list[Item], memory: Any, toy_metrics: Path
) -> None:
    items = put(memory, clips[:3])
    table = tmp_path / "items.csv"
    write_manifest(table, items)
    assert read_manifest(table) == items
    memory.pipe_file("memory://bucket/items.csv", table.read_bytes().replace(b"memory://bucket/", b"./"))
    assert [item.video for item in read_manifest("memory://bucket/items.csv")] == [item.video for item in items]
    assert evaluate(read_manifest("memory://bucket/items.csv"), tmp_path / "run", TOY).complete


def test_a_storage_that_nothing_here_reads_ends_the_command_before_any_clip(
    tmp_path: Path, clips: list[Item], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="remote"):
        evaluate(put_names(clips), tmp_path / "run", DIS)
    assert not (tmp_path / "run").exists()


def put_names(clips: list[Item]) -> list[Item]:
    return [dataclasses.replace(clips[0], video=RemotePath("s3://bucket/a.mp4"))]


def test_a_folder_there_is_told_to_be_named_in_a_manifest(memory: Any) -> None:
    with pytest.raises(ManifestError, match=r"s3://bucket/videos: folders of remote storage.*manifest"):
        read_folder("s3://bucket/videos", None)
