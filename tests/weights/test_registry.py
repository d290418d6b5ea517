"""The registry's data: complete, consistent, and refused when it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mmbench.errors import ManifestError, MMBenchError
from mmbench.files import sha256_file
from mmbench.weights.locate import path
from mmbench.weights.registry import (
    WeightFile,
    complete_group,
    expand,
    find,
    groups,
    human_size,
    parse_size,
    read_registry,
    registry,
)


def test_every_entry_says_licence_size_and_trust():
    for entry in registry().values():
        assert entry.licence, entry.name
        assert entry.size_text, entry.name
        assert entry.trust, entry.name
        assert entry.location.count("..") == 0


def test_https_everywhere():
    for entry in registry().values():
        assert all(url.startswith("https://") for url in entry.sources), entry.name


def test_locations_are_unique():
    places = [entry.location for entry in registry().values()]
    assert sorted(places) == sorted(set(places))


def test_every_metric_file_is_in_the_metrics_group_or_an_alternative():
    assert {"raft-things", "viclip", "inception-2015-12-05", "retinaface-resnet50"} <= set(groups()["metrics"])
    assert {entry.name for entry in expand(["metrics", "raft-things"])} == set(groups()["metrics"])


def test_remedies_ask_for_all_files_of_what_is_used_together():
    asked = {name: complete_group(find(name)) for name in ("raft-things", "viclip", "inception-2015-12-05")}
    assert all(name == group for name, group in asked.items())
    for name in ("buffalo-l-det-10g", "buffalo-l-w600k-r50"):
        assert complete_group(find(name)) == "insightface"
    assert complete_group(find("retinaface-resnet50")) == "retinaface-resnet50"


def test_non_commercial_files_say_so():
    for name in ("buffalo-l-zip", "buffalo-l-det-10g", "buffalo-l-w600k-r50"):
        assert "non-commercial" in find(name).limits


@pytest.mark.skipif(
    importlib.util.find_spec("face_recognition_models") is None,
    reason="face_recognition_models is not installed",
)
def test_dlib_digests_are_those_of_the_installed_package():
    for name in groups()["dlib"]:
        file = path(name)
        assert file.stat().st_size == find(name).size
        assert sha256_file(file) == find(name).sha256


def test_unknown_name_suggests_near_ones():
    with pytest.raises(MMBenchError, match="raft-things"):
        find("raft-thing")


def test_size_texts():
    assert human_size(21108000) == "21.1 MB"
    assert parse_size("1.71 GB") == 1_710_000_000
    assert parse_size(17) == 17
    with pytest.raises(ManifestError):
        parse_size("large")


def test_misspelt_field_is_refused(tmp_path: Path):
    file = tmp_path / "more.yaml"
    file.write_text("files:\n  a: {kind: torch, licence: MIT, urls: [https://x/a.pth], sha265: ab}\n")
    with pytest.raises(ManifestError, match="sha265"):
        read_registry(file)


def test_defaults_are_shared(tmp_path: Path):
    file = tmp_path / "more.yaml"
    file.write_text(
        "defaults: {kind: torch, licence: MIT, repo: a/b}\nfiles:\n  x: {path: x.bin}\n  y: {path: y.bin}\n"
    )
    assert [entry.location for entry in read_registry(file)] == ["a--b/x.bin", "a--b/y.bin"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "abc"},
        {"sha256": "G" * 64},
        {"kind": "pickle"},
        {"urls": ()},
        {"repo": "a/b", "path": "../../x"},
    ],
)
def test_entries_that_cannot_be_right_are_refused(wrong):
    facts = {"name": "a", "kind": "torch", "licence": "MIT", "urls": ("https://x/a.pth",), **wrong}
    with pytest.raises(ManifestError):
        WeightFile(**facts)


def test_hub_addresses():
    entry = WeightFile(name="a", kind="torch", licence="MIT", repo="org/net", path="unet/a.bin", revision="abc")
    assert entry.sources == ("https://huggingface.co/org/net/resolve/abc/unet/a.bin",)
    space = WeightFile(name="a", kind="torch", licence="MIT", repo="org/net", path="a.bin", space=True)
    assert space.sources == ("https://huggingface.co/spaces/org/net/resolve/main/a.bin",)
    moved = WeightFile(
        name="c", kind="data", licence="", repo="org/net", renamed="new/net", path="a.bin", revision="abc"
    )
    assert moved.location == "org--net/a.bin"
    assert moved.sources == tuple(f"https://huggingface.co/{org}/net/resolve/abc/a.bin" for org in ("org", "new"))
