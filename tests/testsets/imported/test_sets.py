"""Sets by name and by folder: layouts are recognised, errors say what is wrong, where, and what to type."""

from __future__ import annotations

import pytest

from mmbench.errors import ManifestError
from mmbench.testsets import load_testset
from mmbench.testsets.check import check_testset
from mmbench.testsets.imported.sets import IMPORTED, NAMES, named, recognised
from mmbench.testsets.load import BUILT, BUNDLED
from tests.testsets.imported.layouts import consisid, ipvg, opens2v, sample

MAKERS = {
    "opens2v-human": lambda folder: opens2v(folder, {"singleface_1": sample("Images/a/1.png", "A man waves.")}),
    "consisid": lambda folder: consisid(
        folder,
        ["1_man.png"],
        [(0, "General", "A {class_token} waves", "A {class_token} waves", "A {class_token} nods")],
    ),
    "ipvg": lambda folder: ipvg(folder, {"id001": ["The chef cooks.", "The pilot flies."]}),
}


def test_every_set_has_a_maker_and_a_name_of_its_own():
    assert set(MAKERS) == set(NAMES) and not set(NAMES) & {*BUNDLED, *BUILT}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_in_its_layout_is_recognised_as_nothing_else(tmp_path, name):
    folder = MAKERS[name](tmp_path / "any name")
    assert recognised(folder) is named(name)
    assert [one.name for one in IMPORTED if one.find(folder) is not None] == [name]
    found, problems = check_testset(folder)
    assert found.name == name and found.size >= 1 and found.licence and not problems


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_found_by_name_where_built_sets_lie(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MMBENCH_TESTSETS", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(ManifestError) as caught:
        load_testset(name)
    assert str(tmp_path / name) in caught.value.message
    assert named(name).page in caught.value.remedy and str(tmp_path / name) in caught.value.remedy
    MAKERS[name](tmp_path / name)
    assert load_testset(name).name == name


def test_a_folder_within_is_found_as_the_archive_is_unpacked(tmp_path):
    MAKERS["ipvg"](tmp_path / "vip200k_test_track_Facial")
    (tmp_path / "testset.zip").write_bytes(b"")
    assert load_testset(tmp_path).folder == tmp_path / "vip200k_test_track_Facial"


def test_our_own_layout_comes_first(tmp_path, tiny_testset):
    MAKERS["opens2v-human"](tiny_testset)
    assert load_testset(tiny_testset).name != "opens2v-human"


def test_another_folder_is_no_test_set(tmp_path):
    with pytest.raises(ManifestError, match="is no test set") as caught:
        load_testset(tmp_path)
    assert all(name in caught.value.message for name in NAMES)
