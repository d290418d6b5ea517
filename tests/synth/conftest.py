"""The face kit and two built people, shared by the renderer's tests; all of them skip where no kit is found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmbench.synth.kit import Kit, load_kit
from mmbench.synth.person import Person, build_person
from mmbench.synth.sampling import sample_identity

SHARED = Path(__file__).resolve().parents[3] / "shared" / "facekit"


@pytest.fixture(scope="session")
def kit_file() -> Path:
    """The built kit: `MMBENCH_FACEKIT`, else the development data beside the checkout."""
    path = Path(os.environ.get("MMBENCH_FACEKIT") or SHARED / "facekit.npz")
    if not path.is_file():
        pytest.skip(f"no face kit at {path}: run `mmbench synth kit build` and set MMBENCH_FACEKIT")
    return path


@pytest.fixture(scope="session")
def kit(kit_file: Path) -> Iterator[Kit]:
    """The loaded kit, found through the environment like everywhere else."""
    before = os.environ.get("MMBENCH_FACEKIT")
    os.environ["MMBENCH_FACEKIT"] = str(kit_file)
    yield load_kit()
    if before is None:
        del os.environ["MMBENCH_FACEKIT"]
    else:
        os.environ["MMBENCH_FACEKIT"] = before


@pytest.fixture(scope="session")
def woman(kit: Kit) -> Person:
    """Somebody with long hair."""
    return build_person(kit, sample_identity(kit, "woman", 0))


@pytest.fixture(scope="session")
def baby(kit: Kit) -> Person:
    return build_person(kit, sample_identity(kit, "baby", 3))


@pytest.fixture(scope="session")
def source_archive() -> Path:
    """The archive of the kit's sources, with which builder and kit are compared."""
    path = SHARED / "source.tar.xz"
    if not path.is_file():
        pytest.skip(f"no source archive at {path}")
    return path
