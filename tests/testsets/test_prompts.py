"""The choice of VBench's prompts and the standardised subjects."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.testsets.pubfig50.build import read_plan
from mmbench.testsets.pubfig50.prompts import (
    Template,
    assign,
    baby_templates,
    fetch_sources,
    of_one,
    read_templates,
    rules,
    sources,
)
from mmbench.testsets.types import GROUPS


def test_the_sets_have_the_papers_sizes():
    assert sum(rule.main for rule in rules()) == 77
    assert Counter(rule.file for rule in rules()) == {"human": 40, "action": 40}
    assert len({rule.id for rule in rules()}) == 80
    assert all(1 <= rule.line <= 100 for rule in rules())
    assert len(baby_templates()) == 4


def test_sources_are_pinned():
    for source in sources().values():
        assert "/45e79ec14e69a2187202c675d2dbce1a71843d53/" in source.url
        assert re.fullmatch("[0-9a-f]{64}", source.sha256)


def test_every_group_has_prompts_enough():
    counts = Counter(group for rule in rules() if rule.main for group in rule.groups)
    assert all(counts[group] >= 25 for group in GROUPS if group != "baby")
    assert set(counts) == set(GROUPS) - {"baby"}


def test_the_plan_is_the_papers():
    slots = read_plan().slots
    assert Counter(slot.group for slot in slots) == {
        "man": 8,
        "woman": 8,
        "elderly man": 7,
        "elderly woman": 7,
        "boy": 7,
        "girl": 7,
        "baby": 6,
    }
    assert all(1 <= slot.references <= 4 for slot in slots)
    assert all(bool(slot.person) != (slot.group in ("boy", "girl", "baby")) for slot in slots)
    people = [slot.person for slot in slots if slot.person]
    assert len(set(people)) == len(people)


def test_every_rule_fits_vbench(vbench_prompts: Path):
    folder = vbench_prompts
    for main_only, file, count in ((True, None, 77), (False, "human", 40), (False, "action", 40)):
        templates = read_templates(folder, main_only=main_only, file=file)
        assert len(templates) == count
        for template in templates:
            for group in template.groups:
                for text in template.fill(group):
                    assert len(re.findall(rf"\b{group} img\b", text)) == 1, text
                    assert text.count("img") == 1
                    assert "{" not in text
                    assert not re.search(r"\b[Aa] (?=[aeiou])elderly", text), text
                    assert ",," not in text


def test_all_77_prompts_are_dealt(vbench_prompts: Path):
    people = [(slot.id, slot.group) for slot in read_plan().slots if slot.group != "baby"]
    dealt = assign(people, read_templates(vbench_prompts))
    used = Counter(template.id for chosen in dealt.values() for template in chosen)
    assert len(used) == 77
    assert max(used.values()) <= 4
    for identity, group in people:
        assert len({template.id for template in dealt[identity]}) == 4
        assert all(group in template.groups for template in dealt[identity])
    assert dealt == assign(people, read_templates(vbench_prompts))


LOOKS = re.compile(
    r"\b(hair|beard\w*|glasses|goggles|helmet|visor|curly|ponytail|bun|aged?|masks?|headset|in (her|his) \w+ies)\b"
)
"""Words by which a text would fix a look against the reference, or hide the face."""
OTHERWISE = {"action:4": "clinking glasses"}
"""What such a word means elsewhere."""


def test_no_prompt_of_the_main_set_hides_the_face_or_fixes_a_look(vbench_prompts: Path):
    for template in read_templates(vbench_prompts):
        text = f"{template.short} {template.long}".lower().replace(OTHERWISE.get(template.id, "\0"), "")
        assert not LOOKS.search(text), template.id


def test_prompts_speak_of_one_person_by_the_groups_pronoun(vbench_prompts: Path):
    for template in read_templates(vbench_prompts):
        for group in template.groups:
            text = " ".join(template.fill(group)).lower()
            other = "she|hers?|herself" if group.split()[-1] in ("man", "boy") else "he|him|his|himself"
            plural = "they|their|them|themselves|" if template.pronouns == "they" else ""  # elsewhere it is of things
            assert not re.search(rf"\b({plural}{other})\b", text), (template.id, group)


def test_the_papers_own_wording_where_it_shows_it(vbench_prompts: Path):
    found = {template.id: template for template in read_templates(vbench_prompts)}
    short, long = (text.replace(" img", "") for text in found["human:29"].fill("man"))
    assert short == "A man playing golf"
    for words in ("A focused man stands on", "He is playing golf", "As he swing"):
        assert words in long
    assert found["human:75"].fill("man")[0].replace(" img", "") == "A shirtless man climbing"
    assert found["action:67"].fill("elderly woman")[0].replace(" img", "") == "An elderly woman is reading book"


@pytest.mark.parametrize(
    ("text", "group", "said"),
    [
        ("They carefully fold and they try; it is theirs.", "man", "He carefully folds and he tries; it is his."),
        ("As they catch it, they are proud of themselves.", "girl", "As she catches it, she is proud of herself."),
        ("Their hands show them what they play.", "elderly man", "His hands show him what he plays."),
    ],
)
def test_they_becomes_he_or_she(text: str, group: str, said: str):
    assert of_one(text, group) == said


def test_no_two_identities_share_more_than_two_prompts(vbench_prompts: Path):
    people = [(slot.id, slot.group) for slot in read_plan().slots if slot.group != "baby"]
    dealt = assign(people, read_templates(vbench_prompts))
    for one, other in combinations(dealt, 2):
        assert len({t.id for t in dealt[one]} & {t.id for t in dealt[other]}) <= 2, (one, other)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 30), st.integers(1, 25), st.data())
def test_dealing_is_even_and_leaves_nothing_out(prompts: int, people: int, data: st.DataObject):
    templates = tuple(Template(f"x:{n}", ("man",), f"s{n}", f"l{n}") for n in range(prompts))
    names = data.draw(st.lists(st.text("abcdef", min_size=1), min_size=people, max_size=people, unique=True))
    dealt = assign([(name, "man") for name in names], templates)
    assert dealt == assign([(name, "man") for name in names], templates)
    assert all(len({t.id for t in own}) == 4 for own in dealt.values())
    if prompts >= 4 * people:  # enough for everybody: nobody shares
        assert len({t.id for own in dealt.values() for t in own}) == 4 * people


def test_articles_fit_the_group():
    template = Template("x:1", ("man",), "{a_subject} waves", "A tall {subject} is here; {A_subject} waves")
    assert template.fill("elderly man") == (
        "an elderly man img waves",
        "A tall elderly man img is here; An elderly man img waves",
    )
    assert template.fill("boy")[0] == "a boy img waves"


def test_baby_prompts_name_one_baby():
    for template in baby_templates():
        short, long = template.fill("baby")
        for text in (short, long):
            assert text.count("baby img") == 1
        assert 40 <= len(long.split()) <= 110


def test_too_few_prompts_is_an_error():
    with pytest.raises(ManifestError, match="boy"):
        assign([("a", "boy")], (Template("x:1", ("boy",), "s", "l"),))


def test_given_prompt_files_are_checked(tmp_path: Path, vbench_prompts: Path):
    copy = tmp_path / "given"
    copy.mkdir()
    for source in sources().values():
        (copy / source.name).write_bytes((vbench_prompts / source.name).read_bytes())
    fetch_sources(tmp_path / "ok", given=copy)
    (copy / "human.txt").write_text("people carving a pumpkin\n")
    with pytest.raises(ManifestError, match="sha256"):
        fetch_sources(tmp_path / "bad", given=copy)
    (copy / "human.txt").unlink()
    with pytest.raises(ManifestError, match=r"raw\.githubusercontent\.com"):
        fetch_sources(tmp_path / "none", given=copy)


def test_listed_images_are_what_the_rule_picks():
    import os

    from mmbench.testsets.pubfig50.picture_list import candidates, read_list

    folder = os.environ.get("MMBENCH_PUBFIG_LISTS")
    if not folder:
        pytest.skip("PubFig's lists are not here: set MMBENCH_PUBFIG_LISTS to the folder of dev_urls.txt")
    plan = read_plan()
    entries, _ = read_list(Path(folder) / "dev_urls.txt")
    for slot in plan.slots:
        if slot.images:
            found = candidates(entries, slot.person, plan.rule.min_face, plan.rule.max_tries)
            assert tuple(entry.image for entry in found[: slot.references]) == slot.images, slot.id
