"""OpenS2V's Human-Domain list: samples become people, texts stay as they are, paths stay inside."""

from __future__ import annotations

import json
import random

import pytest

from mmbench.errors import ManifestError
from mmbench.testsets import load_testset
from mmbench.trigger import without_trigger
from tests.testsets.imported.layouts import opens2v, sample

TEXTS = (
    "The video features a {} in a caf\u00e9.",
    "A {} runs.\n\nThe camera pans.",
    "In \u6771\u4eac, a young {} laughs; \u201cok\u201d.",
)


@pytest.mark.parametrize("seed", range(12))
def test_samples_come_in_order_with_their_texts_and_shared_pictures_are_one_person(tmp_path, seed):
    rng = random.Random(seed)
    pictures = [f"Images/single{kind}/crop_{rng.randrange(9)}/{n} \u00e9.png" for n, kind in enumerate("abcdef")]
    labels = {name: rng.choice(("Man", "Woman")) for name in pictures}
    samples = {}
    for number in range(rng.randrange(1, 14)):
        shown = rng.choice(pictures)
        text = rng.choice(TEXTS).format(labels[shown].lower())
        samples[f"single{rng.choice(('face', 'human'))}_{number}"] = sample(shown, text, labels[shown])
    found = load_testset(opens2v(tmp_path / "set", samples))
    assert found.size == len(samples)
    assert len(found.identities) == len({one["img_paths"][0] for one in samples.values()})
    for who in found.identities:
        assert who.id == who.prompts[0].id and [p.index for p in who.prompts] == list(range(len(who.prompts)))
        for prompt in who.prompts:
            original = samples[prompt.id]
            assert who.references == (found.folder / original["img_paths"][0],)
            assert who.group == original["class_label"][0].lower()
            assert without_trigger(prompt.long) == without_trigger(prompt.short) == original["prompt"]


@pytest.mark.parametrize(
    "written",
    [
        "../secret.png",
        "/etc/passwd",
        "Images/../../x.png",
        "C:\\x.png",
        "\\\\host\\x.png",
        "Images\\..\\..\\x.png",
        "a\0b",
        "",
    ],
)
def test_paths_that_lead_out_are_refused_even_where_a_file_lies_there(tmp_path, written):
    (tmp_path / "secret.png").write_bytes(b"x")
    folder = opens2v(tmp_path / "set", {"singleface_1": sample(written, "A man waves.")})
    with pytest.raises(ManifestError, match=r"Human-Domain_Eval\.json: singleface_1.*(leads out|is no path)"):
        load_testset(folder)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"prompt": None}, "no `prompt`"),
        ({"img_paths": []}, "exactly one picture"),
        ({"img_paths": ["Images/a.png", "Images/b.png"]}, "exactly one picture"),
        ({"img_paths": [3]}, "is no path"),
        ({"class_label": ["Cup"]}, "no person"),
        ({"class_label": ["Man", "Woman"]}, "no person"),
        ({"class_label": None}, "no person"),
        ({"prompt": "Rain."}, "names a person"),
        ({"prompt": ""}, "empty"),
    ],
)
def test_a_faulty_sample_is_named(tmp_path, entry, words):
    good = sample("Images/a.png", "A man waves.")
    with pytest.raises(ManifestError, match=rf"singlehuman_2.*{words}"):
        load_testset(opens2v(tmp_path / "set", {"singlehuman_1": good, "singlehuman_2": {**good, **entry}}))


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "\u00e9", ".x", ""])
def test_names_that_cannot_be_files_are_refused(tmp_path, name):
    with pytest.raises(ManifestError, match="file name"):
        load_testset(opens2v(tmp_path / "set", {name: sample("Images/a.png", "A man waves.")}))


def test_names_that_differ_in_capitals_alone_are_refused(tmp_path):
    samples = {name: sample(f"Images/{number}.png", "A man.") for number, name in enumerate(("Face_1", "face_1"))}
    with pytest.raises(ManifestError, match="one name"):
        load_testset(opens2v(tmp_path / "set", samples))


def test_one_picture_under_two_labels_is_refused(tmp_path):
    samples = {"f_1": sample("Images/a.png", "A man."), "f_2": sample("Images/a.png", "A woman.", "Woman")}
    with pytest.raises(ManifestError, match="f_1 and f_2"):
        load_testset(opens2v(tmp_path / "set", samples))


def test_a_missing_picture_is_named(tmp_path):
    folder = opens2v(tmp_path / "set", {"f_1": sample("Images/a.png", "A man.")})
    (folder / "Images/a.png").unlink()
    with pytest.raises(ManifestError, match=r"f_1: the picture .*a\.png is missing"):
        load_testset(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"a": 1, "a": 2}', json.dumps({}), '{"f_1": {"prompt": 1}}'])
def test_a_damaged_list_is_named(tmp_path, text):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "Human-Domain_Eval.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestError, match=r"Human-Domain_Eval\.json") as caught:
        load_testset(folder)
    assert caught.value.remedy


def test_everything_wrong_is_said_at_once(tmp_path):
    samples = {f"f_{n}": sample(f"Images/{n}.png", "Rain." if n % 2 else "A man.") for n in range(6)}
    with pytest.raises(ManifestError, match="3 entries") as caught:
        load_testset(opens2v(tmp_path / "set", samples))
    assert all(f"f_{n}" in caught.value.message for n in (1, 3, 5))
