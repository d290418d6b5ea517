"""Finding registered files: what is absent, what is wrong, what changed since it was downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mmbench.errors import MissingWeights, WeightsError
from mmbench.files import sha256_file
from mmbench.weights import WeightFile
from mmbench.weights.cache import write_record
from mmbench.weights.folders import digests, file_of, registered, repo_folder, require

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


def test_an_account_names_every_file_with_its_bytes(tmp_path: Path) -> None:
    paths = [put(tmp_path, entry) for entry in (PUBLISHED, UNKNOWN)]
    found = digests(tmp_path, (PUBLISHED, UNKNOWN))
    assert found == [
        {"name": name, "revision": "main", "sha256": sha256_file(path)}
        for name, path in zip((PUBLISHED.name, f"{UNKNOWN.name} (not checked)"), paths, strict=True)
    ]
    # from now on the file is held to these bytes
    paths[1].write_bytes(b"changed")
    with pytest.raises(WeightsError, match="changed"):
        digests(tmp_path, (UNKNOWN,))


def test_magic_mirrors_account_has_the_users_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.baselines.magic_mirror.model import ADAPTER, MagicMirror

    model = MagicMirror()
    with pytest.raises(MissingWeights, match="no identity adapter"):
        model.require(tmp_path, "5b")
    assert model.weights_in_use(tmp_path, "nano") == []
    (tmp_path / ADAPTER).parent.mkdir()
    (tmp_path / ADAPTER).write_bytes(BYTES)
    with pytest.raises(MissingWeights, match="CogVideoX-5b"):
        model.require(tmp_path, "5b")
    monkeypatch.setattr(MagicMirror, "weights", lambda self, variant=None: (PUBLISHED,))
    put(tmp_path, PUBLISHED)
    model.require(tmp_path, "5b")
    account = model.weights_in_use(tmp_path, "5b")
    assert [entry["sha256"] for entry in account] == [sha256_file(tmp_path / ADAPTER)] * 2
    assert account[0]["name"] == "toy"
    assert "magic_mirror.safetensors" in account[1]["name"]
