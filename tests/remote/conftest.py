"""Storage in this process's memory, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmbench.remote.cache import forget
from mmbench.remote.storage import filesystem


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
