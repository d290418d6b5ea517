"""Finding registered files: what is absent, what is wrong, what changed since it was downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mmbench.errors import MissingWeights, WeightsError
from mmbench.files import sha256_file
from mmbench.weights import WeightFile
from mmbench.weights.cache import write_record
from mmbench.weights.folders import file_of, registered, repo_folder, require

BYTES = b"weights"
PUBLISHED = WeightFile(
    name="toy", kind="data", licence="MIT", repo="someone/toy", path="a/b.bin", size=7,
    sha256=hashlib.sha256(BYTES).hexdigest(), limits="for play only", groups=("generators", "toys"),
)  # fmt: skip
UNKNOWN = WeightFile(name="other", kind="data", licence="BSD", repo="someone/toy", path="c.bin", about=7)


def put(folder: Path, entry: WeightFile, content: bytes = BYTES) -> Path:
    path = folder / entry.location
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_absent_files_are_grouped_by_source_and_terms(tmp_path: Path) -> None:
    put(tmp_path, UNKNOWN)
    with pytest.raises(MissingWeights) as found:
        require(tmp_path, (PUBLISHED, UNKNOWN))
    text = str(found.value)
    assert "1 of 2 weight files" in text
    assert "someone/toy (licence: MIT; for play only)" in text
    assert "a/b.bin, 7 B" in text
    assert "c.bin" not in text
    assert "mmbench weights get toys" in text


def test_size_and_digest_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    path = put(tmp_path, PUBLISHED)
    assert repo_folder(tmp_path, "someone/toy", (PUBLISHED,)) == tmp_path / "someone--toy"
    path.write_bytes(b"weighty")
    with pytest.raises(WeightsError, match="sha256"):
        require(tmp_path, (PUBLISHED,))
    path.write_bytes(b"weights!")
    with pytest.raises(WeightsError, match="8 bytes"):
        require(tmp_path, (PUBLISHED,))


def test_a_file_without_a_published_digest_is_held_to_the_recorded_one(tmp_path: Path) -> None:
    path = put(tmp_path, UNKNOWN)
    require(tmp_path, (UNKNOWN,))
    write_record(path, sha256_file(path), "toy", "first use")
    require(tmp_path, (UNKNOWN,))
    path.write_bytes(b"changed")
    with pytest.raises(WeightsError, match="changed"):
        require(tmp_path, (UNKNOWN,))


def test_the_registry_knows_the_generators_files(tmp_path: Path) -> None:
    (only,) = registered("TencentARC/PhotoMaker-V2")
    assert (only.name, only.path) == ("photomaker-v2", "photomaker-v2.bin")
    with pytest.raises(WeightsError, match="no files of someone/else"):
        registered("someone/else")
    with pytest.raises(MissingWeights, match="det_10g"):
        file_of("buffalo-l-det-10g", tmp_path)
