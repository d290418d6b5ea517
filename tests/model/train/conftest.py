"""One drawn world for all tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards and texts of four drawn people at the smoke size."""
    from mmbench.model.train.drawn import make_world

    return make_world(tmp_path_factory.mktemp("world"))
