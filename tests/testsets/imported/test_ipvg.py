"""The challenge's folders: a person each, five prompts or fewer, whatever else lies about."""

from __future__ import annotations

import random

import pytest

from mmbench.errors import ManifestError
from mmbench.testsets import load_testset
from mmbench.trigger import without_trigger
from tests.testsets.imported.layouts import ipvg, picture


@pytest.mark.parametrize("seed", range(8))
def test_people_come_by_number_with_their_texts(tmp_path, seed):
    rng = random.Random(seed)
    roles = ("chef", "pilot", "person", "gymnast")
    names = [f"id{n:03d}" for n in rng.sample(range(1, 999), 4)] + ["id\u00e9 9"]
    people = {name: [f"The {rng.choice(roles)}, caf\u00e9 {k}." for k in range(rng.randrange(1, 12))] for name in names}
    folder = ipvg(tmp_path / "set", people)
    picture(folder / "id001x/image2.jpg")
    (folder / "id001x/prompt1.txt").write_text("\ufeffA man\r\n", "utf-8")
    (folder / "results").mkdir()
    (folder / "readme.txt").write_text("x")
    found = load_testset(folder)
    assert len(found.identities) == 6 and {who.group for who in found.identities} == {""}
    by_folder = {who.references[0].parent.name: who for who in found.identities}
    assert [n for n in by_folder if n in names[:4]] == sorted(names[:4])
    for name, texts in people.items():
        who = by_folder[name]
        assert [without_trigger(prompt.long) for prompt in who.prompts] == texts
        assert [prompt.id for prompt in who.prompts] == [f"{who.id}_prompt{k + 1}" for k in range(len(texts))]
    assert without_trigger(by_folder["id001x"].prompts[0].short) == "A man"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda who: (who / "image.png").unlink(), r"id002: has no image\.png"),
        (lambda who: [path.unlink() for path in who.glob("*.txt")], r"id002: has no prompt1\.txt"),
        (lambda who: (who / "prompt2.txt").unlink(), r"prompt2\.txt: is missing"),
        (lambda who: (who / "prompt2.txt").write_bytes(b"\xff\xfe\xfa"), r"prompt2\.txt: no text in UTF-8"),
        (lambda who: (who / "prompt3.txt").write_text("Rain."), r"prompt3\.txt: no word"),
    ],
)
def test_what_is_missing_is_named(tmp_path, spoil, words):
    texts = ["The chef cooks.", "A man runs.", "A woman sits."]
    folder = ipvg(tmp_path / "set", {"id001": texts, "id002": texts})
    spoil(folder / "id002")
    with pytest.raises(ManifestError, match=words):
        load_testset(folder)
