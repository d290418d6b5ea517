"""Storage in this process's memory, and a cache of the test's own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmbench.errors import RemoteError
from mmbench.remote.cache import forget
from mmbench.remote.path import RemotePath
from mmbench.remote.storage import filesystem
from mmbench.runs.evaluate.store import read_rows


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """fsspec's storage in memory, empty at the start and at the end."""
    pytest.importorskip("fsspec", reason="needs the extra remote")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MMBENCH_OFFLINE", raising=False)
    monkeypatch.delenv("MMBENCH_REMOTE_BYTES", raising=False)
    storage = filesystem("memory://")
    storage.store.clear()
    storage.pseudo_dirs[:] = [""]
    forget()
    yield storage
    storage.store.clear()
    forget()


def check_objects(bucket: Any, base: str) -> None:
    """Random objects come back whole, the newest of each name, and one that is not there is named."""
    rng = random.Random(0)
    for size in (0, 1, 1000, 6 * 2**20 + 1):
        for _ in range(2):  # of one size and within one second
            data = rng.randbytes(size)
            bucket.pipe_file("bucket/some dir/é.bin", data)
            forget()
            assert RemotePath(f"{base}/some dir/é.bin").read_bytes() == data
    with pytest.raises(RemoteError, match=f"{base}/none: there is no such object"):
        RemotePath(f"{base}/none").read_bytes()


def keys(run: Path) -> list[Any]:
    """What the rows of a run say, in the items' order."""
    return sorted((row.item.id, [(s.metric, s.value, s.inputs) for s in row.scores]) for row in read_rows(run)[0])
