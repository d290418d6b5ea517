"""One run for all tests of submissions."""

from __future__ import annotations

import pytest

from tests.runs.submit.board import Made


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("submit"))
