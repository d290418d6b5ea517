"""ConsisID's table and pictures: every picture with every line, whatever pictures are called."""

from __future__ import annotations

import random
import re

import pytest

from mmbench.errors import ManifestError
from mmbench.testsets import load_testset
from mmbench.trigger import without_trigger
from tests.testsets.imported.layouts import consisid

LINE = (
    0,
    "General",
    "A {class_token} smiles",
    'A {class_token} turns his head, "so"',
    "A {class_token} turns her head",
)

WHO = ("man", "woman", "Woman \u00e9", "\u7537")


@pytest.mark.parametrize("seed", range(8))
def test_every_picture_meets_every_line(tmp_path, seed):
    rng = random.Random(seed)
    names = [f"{n}_{rng.choice(WHO)}.{rng.choice(('png', 'jpg'))}" for n in (10, 2, 1)]
    lines = [(n, "Daily, life", f"A {{class_token}} number {n}", *LINE[3:]) for n in rng.sample(range(200), 4)]
    folder = consisid(tmp_path / "set", names, lines)
    (folder / "eval/face_images/.hidden.png").write_bytes(b"")
    (folder / "eval/face_images/Thumbs.db").write_bytes(b"")
    found = load_testset(folder)
    assert [who.references[0].name for who in found.identities] == sorted(names, key=lambda n: int(n.split("_")[0]))
    for who in found.identities:
        word = "woman" if "woman" in who.references[0].name.lower() else "man"
        assert (who.group, who.class_word) == (word, word)
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", who.id)
        assert [p.id for p in who.prompts] == [str(line[0]) for line in lines]
        for prompt, line in zip(who.prompts, lines, strict=True):
            assert without_trigger(prompt.short) == line[2].replace("{class_token}", word)
            assert without_trigger(prompt.long) == LINE[3 + (word == "woman")].replace("{class_token}", word)


def test_an_archive_that_is_not_unpacked_is_said_with_the_command(tmp_path):
    folder = consisid(tmp_path / "set", (), [LINE])
    (folder / "eval").mkdir()
    (folder / "eval/face_images.tar").write_bytes(b"")
    with pytest.raises(ManifestError, match="no pictures") as caught:
        load_testset(folder)
    assert "tar -xf" in caught.value.remedy and "face_images.tar" in caught.value.remedy


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no prompts"),
        ([LINE, LINE], "line 3: its index"),
        ([("x", *LINE[1:])], "its index 'x'"),
        ([(*LINE[:3], "He smiles", LINE[4])], "line 2: Refined_man"),
        ([(*LINE[:2], "", *LINE[3:])], "line 2: Original_Prompt"),
    ],
)
def test_a_faulty_line_is_named_once(tmp_path, lines, words):
    with pytest.raises(ManifestError, match=words) as caught:
        load_testset(consisid(tmp_path / "set", ["1_man.png", "2_man.png", "3_woman.png"], lines))
    assert "entries" not in caught.value.message


def test_a_column_that_lacks_is_named(tmp_path):
    folder = consisid(tmp_path / "set", ["1_man.png"], [LINE])
    table = folder / "video_caption_eval_old.csv"
    table.write_text(table.read_text().replace("Refined_woman", "Refined"))
    with pytest.raises(ManifestError, match="Refined_woman"):
        load_testset(folder)


def test_pictures_that_would_be_one_name_are_refused(tmp_path):
    folder = consisid(tmp_path / "set", ["1_man.png", "1_man.jpg"], [LINE])
    with pytest.raises(ManifestError, match="one name"):
        load_testset(folder)
