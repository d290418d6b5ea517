"""Shared by all tests: nothing is read from or written to the user's own caches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Caches and weights of the test session, empty at its start. Spawned processes inherit them."""
    folder = tmp_path_factory.mktemp("mmbench-caches")
    for name in ("MMBENCH_CACHE", "MMBENCH_WEIGHTS", "MMBENCH_TESTSETS"):
        os.environ[name] = str(folder / name.removeprefix("MMBENCH_").lower())


def development_data(variable: str, *default: str) -> Path:
    """A folder or file of development data: named by an environment variable, else beside the checkout."""
    path = Path(os.environ[variable]) if variable in os.environ else ROOT.parent.joinpath("shared", *default)
    if not path.exists():
        pytest.skip(f"{path} is not here (set {variable})")
    return path


@pytest.fixture(scope="session")
def showcase() -> Path:
    """Folder of official output clips of two systems; tests that use it skip where it is absent."""
    return development_data("MMBENCH_SHOWCASE", "showcase")
