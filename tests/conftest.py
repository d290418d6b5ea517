"""Shared by all tests: nothing is read from or written to the user's own caches."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 1000  # of the terminal that commands print to: no name of a file is cut, however deep the temporary folder

# hypothesis' own 200 ms an example would be a limit that a busy machine reaches
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Commands print plain, unwrapped text, in this process and in others; pytest's own lines keep their width."""
    writer = config.get_terminal_writer()
    writer.fullwidth = writer.fullwidth  # read once, before the variable below changes it
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH"):  # each may colour or wrap the help
        os.environ.pop(name, None)
    os.environ.update(COLUMNS=str(COLUMNS), NO_COLOR="1", TERM="dumb")


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
def nearly() -> Callable[[object, object], bool]:
    """Are two JSON values equal but for rounding? For numbers of networks or processes made anew.

    Equal weights at other places in memory, other thread counts and other processors sum in other orders.
    """

    def compare(one: object, other: object) -> bool:
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            return one.keys() == other.keys() and all(compare(one[key], other[key]) for key in one)
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(compare, one, other))
        if isinstance(one, float) and isinstance(other, float):
            return one == pytest.approx(other, rel=1e-5, abs=1e-7, nan_ok=True)
        return one == other

    return compare


@pytest.fixture(scope="session")
def showcase() -> Path:
    """Folder of official output clips of two systems; tests that use it skip where it is absent."""
    return development_data("MMBENCH_SHOWCASE", "showcase")
