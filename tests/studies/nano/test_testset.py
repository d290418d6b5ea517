"""The nano test set: other people of the same split, by the same rules."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mmbench.studies.nano import testset as module
from mmbench.studies.nano.testset import PEOPLE, PROMPTS, build_testset, captions_of
from mmbench.synth.world.people import people_of


@pytest.mark.parametrize(("people", "after"), [(3, 0), (3, 70), (8, 5)])
def test_people_left_out_are_those_of_the_sets_before(
    people: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_kit", lambda: None)
    monkeypatch.setattr(module, "_pictures", lambda kit, name, folder: None)
    out = build_testset(tmp_path / "set", people, after=after)
    made = json.loads((out / "identities.json").read_text(encoding="utf-8"))
    names = [person["id"] for person in made["identities"]]
    assert names == people_of("test", after + people)[after:]
    assert not set(names) & set(people_of("test", after))
    with (out / "prompts.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["identity"] for row in rows] == [name for name in names for _ in range(PROMPTS)]
    assert [row["prompt"] for row in rows[:PROMPTS]] == [caption.text for caption in captions_of(names[0])]


def test_only_the_bundled_people_bear_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_kit", lambda: None)
    monkeypatch.setattr(module, "_pictures", lambda kit, name, folder: None)
    named = {}
    for people, after in [(PEOPLE, 0), (PEOPLE, PEOPLE), (2, 0)]:
        out = build_testset(tmp_path / f"{people}-{after}", people, after=after)
        named[people, after] = json.loads((out / "identities.json").read_text(encoding="utf-8"))["name"]
    assert named[PEOPLE, 0] == "nano70"
    assert len(set(named.values())) == len(named)
