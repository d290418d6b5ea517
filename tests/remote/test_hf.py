"""Videos and runs on a server of this machine that speaks the Hugging Face Hub's protocol (`tests.remote.hub`)."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.errors import RemoteError
from mmbench.items import Item
from mmbench.remote import storage
from mmbench.remote.cache import forget
from mmbench.remote.path import RemotePath
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.mirror import mirrored
from mmbench.video.write import write_video
from tests.remote.hub import Hub, serving

pytestmark = pytest.mark.slow
DIS = EvaluateSettings(metrics=("motion_smoothness",), flow=FlowSettings(backend="dis"))
ROOT = "hf://datasets/me/videos"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty repository as huggingface_hub sees it; the environment leads workers to it."""
    hugging_face = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    pytest.importorskip("fsspec", reason="needs the extra remote")
    with serving("me/videos") as server:
        opened = hugging_face.HfFileSystem(endpoint=server.endpoint, token=False)  # here its constants are read already
        monkeypatch.setattr(storage, "_made", {(os.getpid(), "hf"): opened})
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
        forget()
        yield server
        hugging_face.HfFileSystem.clear_instance_cache()
        forget()


def test_random_objects_come_back_and_a_change_is_noticed(hub: Hub, tmp_path: Path) -> None:
    rng, here = random.Random(0), tmp_path / "file"
    for size in (0, 1, 1000, 6 * 2**20 + 1):
        for _ in range(2):  # of one size and within one second
            data = rng.randbytes(size)
            here.write_bytes(data)
            storage.upload(here, f"{ROOT}/some dir/é.bin")
            forget()
            assert RemotePath(f"{ROOT}/some dir/é.bin").read_bytes() == data == hub.files["me/videos"]["some dir/é.bin"]
    with pytest.raises(RemoteError, match=rf"{ROOT}/none: there is no such object"):
        RemotePath(f"{ROOT}/none").read_bytes()
    with pytest.raises(RemoteError, match=r"hf://datasets/me/others/none: there is no such object"):
        RemotePath("hf://datasets/me/others/none").read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_what_is_listed_is_what_lies_there(hub: Hub, seed: int) -> None:
    """Folders within folders, over several pages, beside names that begin alike."""
    rng, held = random.Random(seed), hub.files["me/videos"]
    for number in range(30):
        folder = rng.choice(["run", "run/rows", "run/a b/ü", "run2", "other"])
        held[f"{folder}/{number}.jsonl"] = rng.randbytes(rng.randrange(9))
    found = storage.listed(f"{ROOT}/run")
    expected = {name[4:]: len(data) for name, data in held.items() if name.startswith("run/")}
    assert {name: facts.size for name, facts in found.items()} == expected
    assert storage.listed(f"{ROOT}/no such run") == {}


def test_what_may_not_be_seen_or_written_says_so(hub: Hub, tmp_path: Path) -> None:
    hub.files["me/videos"]["a.bin"] = b"data"
    hub.closed.add("me/videos")
    assert RemotePath(f"{ROOT}/a.bin").read_bytes() == b"data"
    (tmp_path / "file").write_bytes(b"other")
    with pytest.raises(RemoteError, match=rf"{ROOT}/a\.bin: not permitted .*HF_TOKEN"):
        storage.upload(tmp_path / "file", f"{ROOT}/a.bin")
    hub.hidden.add("me/videos")
    forget()
    with pytest.raises(RemoteError, match=rf"{ROOT}/a\.bin: not permitted .*HF_TOKEN"):
        RemotePath(f"{ROOT}/a.bin").read_bytes()
    with pytest.raises(RemoteError, match=rf"{ROOT}/run: not permitted .*HF_TOKEN"):
        storage.listed(f"{ROOT}/run")


@pytest.mark.parametrize("word", ["xet_hash", "uploaded_at", "mtime"])
def test_what_a_bucket_of_the_hub_says_tells_versions_apart(word: str) -> None:
    """A bucket's files have no digest of git's: huggingface_hub gives these three of them."""
    said = {"size": 4, "type": "file", "xet_hash": "a", "uploaded_at": "then", "mtime": None}
    assert storage._facts(said) != storage._facts({**said, word: "b"})


def test_an_evaluation_there_is_that_of_the_same_files_here(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = [], []
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 255, (72, 96, 3), dtype=np.uint8)
        path = tmp_path / f"clip {number}.mp4"
        write_video(path, [np.roll(picture, step * number, axis=1) for step in range(9)], 8)
        hub.files["me/videos"][f"videos/{path.name}"] = path.read_bytes()
        here.append(Item(f"m/{number}", "m", "p", path))
        there.append(dataclasses.replace(here[-1], video=RemotePath(f"{ROOT}/videos/{path.name}")))
    evaluate(here, tmp_path / "local", DIS)
    assert evaluate(there, f"{ROOT}/runs/one", DIS, workers=2).measured_now == 3
    assert hub.commits
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "another machine"))
    forget()
    assert evaluate(there, f"{ROOT}/runs/one", DIS).measured_now == 0

    def values(run: Path) -> list[Any]:
        return sorted((row.item.id, [(s.metric, s.value, s.inputs) for s in row.scores]) for row in read_rows(run)[0])

    with mirrored(f"{ROOT}/runs/one", write=False) as copy:
        assert values(copy) == values(tmp_path / "local")
