"""Finding files: user's own, package, cache, archive; and the words when there is none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from mmbench.errors import MissingWeights, WeightsError
from mmbench.files import sha256_file
from mmbench.weights.archive import extract_member
from mmbench.weights.arrive import unpack
from mmbench.weights.cache import cached_file, set_user_path, verify, write_record
from mmbench.weights.locate import RETRY, first_of, is_user_file, locate, name_in_use, path
from mmbench.weights.registry import WeightFile, find


def write_zip(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as box:
        for name, data in members.items():
            box.writestr(name, data)
    return file


def test_missing_weights_say_file_size_licence_limits_and_command():
    with pytest.raises(MissingWeights) as caught:
        path("buffalo-l-det-10g")
    text = str(caught.value)
    for part in (
        "det_10g.onnx",
        "16.9 MB",
        "non-commercial",
        "mmbench weights get insightface.",
        "--use FILE",
    ):
        assert part in text


def test_file_in_cache_is_found():
    where = cached_file(find("viclip"))
    where.parent.mkdir(parents=True)
    where.write_bytes(b"x")
    assert path("viclip") == where


def test_first_of_takes_what_is_here():
    with pytest.raises(MissingWeights, match="raft-c-t-v1 would do"):
        first_of("raft-things", "raft-c-t-v1")
    where = cached_file(find("raft-c-t-v1"))
    where.parent.mkdir(parents=True)
    where.write_bytes(b"x")
    assert first_of("raft-things", "raft-c-t-v1") == ("raft-c-t-v1", where)


def test_own_file_comes_first_and_can_be_forgotten(tmp_path: Path):
    own = tmp_path / "mine.pth"
    own.write_bytes(b"x")
    set_user_path(find("viclip"), own)
    assert path("viclip") == own
    assert is_user_file("viclip")
    own.unlink()
    with pytest.raises(MissingWeights, match="--forget") as caught:
        path("viclip")
    assert caught.value.message == f"Own file missing: {own}, which you put in place of viclip."
    with pytest.raises(MissingWeights, match="Own file missing"):
        first_of("viclip", "viclip-safetensors")
    set_user_path(find("viclip"), None)
    assert locate("viclip") is None


def test_own_file_is_never_called_by_the_registered_name(tmp_path: Path):
    own = tmp_path / "my.pth"
    own.write_bytes(b"mine")
    digest = sha256_file(own)
    facts = {"kind": "torch", "licence": "MIT", "urls": ("https://x/net.pth",)}
    entry, unpublished = WeightFile(name="viclip", sha256="0" * 64, **facts), WeightFile(name="viclip", **facts)
    assert name_in_use(entry, own, digest) == "viclip"
    assert name_in_use(unpublished, own, digest) == "viclip (not checked)"
    set_user_path(entry, own)
    assert name_in_use(entry, own, digest) == "viclip (own file my.pth)"
    assert name_in_use(entry, own, digest, "net.dat") == "net.dat (own file my.pth)"
    assert name_in_use(unpublished, own, digest) == "viclip (own file my.pth)"
    same = WeightFile(name="viclip", sha256=digest, **facts)
    assert name_in_use(same, own, digest) == "viclip"


def test_remedies_say_how_a_finished_run_takes_the_weights_up(tmp_path: Path):
    package = WeightFile(name="p", kind="dlib", licence="CC0", package="no_such_package", path="models/a.dat")
    for entry in ("raft-things", package):
        with pytest.raises(MissingWeights) as caught:
            path(entry)
        assert caught.value.remedy.endswith(RETRY)
    assert "mmbench evaluate ... --retry" in RETRY


def test_member_is_unpacked_from_an_archive_that_is_here(monkeypatch):
    write_zip(cached_file(find("retinaface-resnet50-zip")), {"retinaface_resnet50_2020-07-20.pth": b"\x80\x02tensors"})
    assert path("retinaface-resnet50").read_bytes() == b"\x80\x02tensors"


def test_wrong_member_is_refused_and_not_kept():
    write_zip(cached_file(find("buffalo-l-zip")), {"buffalo_l/det_10g.onnx": b"not the network"})
    with pytest.raises(WeightsError, match=r"15 bytes, expected 16923827\. It was not kept"):
        path("buffalo-l-det-10g")
    assert not cached_file(find("buffalo-l-det-10g")).exists()


def test_good_copy_outlives_a_wrong_archive():
    net = WeightFile(name="n", kind="data", licence="MIT", archive="a", member="n.bin", sha256_prefix="00c0ffee")
    good = cached_file(net)
    archive = write_zip(good.with_name("a.zip"), {"n.bin": b"wrong"})
    good.write_bytes(b"good")
    with pytest.raises(WeightsError, match="It was not kept"):
        unpack(net, archive, force=True)
    assert good.read_bytes() == b"good"
    assert sorted(file.name for file in good.parent.iterdir()) == ["a.zip", "n.bin", "n.bin.lock"]


@pytest.mark.parametrize(
    "members",
    [{}, {"a/net.pth": b"1", "b/net.pth": b"2"}, {"../net2.pth": b"1"}],
    ids=["none", "two", "other"],
)
def test_archive_without_the_one_member_is_refused(tmp_path: Path, members):
    box = write_zip(tmp_path / "a.zip", members)
    with pytest.raises(WeightsError, match=r"net\.pth"):
        extract_member(box, "net.pth", tmp_path / "out" / "net.pth", 100)
    assert not (tmp_path / "out" / "net.pth").exists()


def test_member_path_never_leaves_the_target(tmp_path: Path):
    box = write_zip(tmp_path / "a.zip", {"../../evil/net.pth": b"1"})
    extract_member(box, "net.pth", tmp_path / "out" / "net.pth", 100)
    assert (tmp_path / "out" / "net.pth").read_bytes() == b"1"
    assert sorted(p.name for p in tmp_path.rglob("*.pth")) == ["net.pth"]


def test_zip_bomb_is_bounded(tmp_path: Path):
    box = write_zip(tmp_path / "a.zip", {"net.pth": b"\0" * 5_000_000})
    with pytest.raises(WeightsError, match="more than 1000 bytes"):
        extract_member(box, "net.pth", tmp_path / "net.pth", 1000)
    assert list(tmp_path.iterdir()) == [box]


def test_link_in_archive_is_refused(tmp_path: Path):
    info = zipfile.ZipInfo("net.pth")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as box:
        box.writestr(info, "/etc/hostname")
    with pytest.raises(WeightsError, match="link"):
        extract_member(tmp_path / "a.zip", "net.pth", tmp_path / "net.pth", 1000)


def test_damaged_archive_is_named(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(WeightsError, match=r"a\.zip is damaged"):
        extract_member(tmp_path / "a.zip", "net.pth", tmp_path / "net.pth", 1000)


def test_changed_first_use_file_is_noticed(tmp_path: Path):
    entry = WeightFile(name="net", kind="torch", licence="MIT", urls=("https://x/net.pth",))
    file = tmp_path / "net.pth"
    file.write_bytes(b"one")
    write_record(file, verify(file, entry), "https://x/net.pth", "first use")
    verify(file, entry)
    file.write_bytes(b"two")
    for quick in (False, True):
        with pytest.raises(WeightsError, match="changed"):
            verify(file, entry, quick=quick)


def test_file_put_here_by_hand_is_recorded_on_first_use():
    entry = WeightFile(name="net", kind="torch", licence="MIT", urls=("https://x/net.pth",))
    file = cached_file(entry)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"one")
    verify(file, entry)
    file.write_bytes(b"two")
    with pytest.raises(WeightsError, match="changed"):
        verify(file, entry)


def test_missing_package_says_how_to_install():
    entry = WeightFile(name="p", kind="dlib", licence="CC0", package="no_such_package", path="models/a.dat")
    with pytest.raises(MissingWeights, match="pip install no-such-package"):
        path(entry)
