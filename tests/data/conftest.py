"""Shared by the tests of training data: drawn corpora, and one build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mmbench.data.build import build
from mmbench.data.drawn_corpus import drawn_settings, pictures, videos


@pytest.fixture(scope="session")
def picture_corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("pictures")
    return folder, pictures(folder)


@pytest.fixture(scope="session")
def video_corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("videos")
    return folder, videos(folder)


@pytest.fixture(scope="session")
def built_a(picture_corpus: tuple[Path, Mapping[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source A, built."""
    out = tmp_path_factory.mktemp("built")
    build(drawn_settings("A", picture_corpus[0], shard_records=1), out)
    return out
