from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmbench.synth.control import Cast
from mmbench.synth.kit import load_kit


@pytest.fixture(scope="session")
def cast() -> Cast:
    """Builds people from the face kit; tests that use it skip where the kit is absent."""
    fallback = Path(__file__).resolve().parents[4] / "shared" / "facekit" / "facekit.npz"
    path = Path(os.environ.get("MMBENCH_FACEKIT", fallback))
    if not path.is_file():
        pytest.skip(f"{path} is not here (set MMBENCH_FACEKIT)")
    os.environ["MMBENCH_FACEKIT"] = str(path)
    return Cast(load_kit())
