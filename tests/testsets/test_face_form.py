"""Face-enhanced prompts keep who, what and where, lose only what the camera shows elsewhere, and open with the face."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.testsets.face_form import face_form, face_rules
from mmbench.testsets.load import load_testset
from mmbench.testsets.pubfig50.prompts import baby_templates, read_templates
from mmbench.trigger import TRIGGER, count_triggers, marks

DOING = st.sampled_from(["plays the harp", "rides a bicycle", "bakes bread in a kitchen", "laughs, then waves"])
CAMERA = st.sampled_from(
    [
        "The camera captures a close-up of {his} hands.",
        "The scene transitions to a wider shot of the valley.",
        "The camera pans down to the shoes.",
        "The final shot reveals the board.",
    ]
)
FACE = st.sampled_from(["The camera holds {his} face.", "A close-up shows {his} smile.", "Light falls on the trees."])


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


@given(DOING, st.lists(st.one_of(CAMERA, FACE), max_size=5), st.sampled_from(["his", "her"]))
def test_all_stays_but_what_the_camera_shows_elsewhere(doing: str, rest: list[str], his: str) -> None:
    person = f"An elderly man {TRIGGER} {doing}."
    said = [sentence.format(his=his) for sentence in rest]
    made = face_form(" ".join([person, *said]))
    assert marks(made, "elderly man") and count_triggers(made) == 1
    framing, *kept = sentences(made)
    assert framing in face_rules().framings
    gone = {
        sentence.format(his=his)
        for sentence in (
            "The camera captures a close-up of {his} hands.",
            "The scene transitions to a wider shot of the valley.",
            "The camera pans down to the shoes.",
            "The final shot reveals the board.",
        )
    }
    assert kept == [person, *(sentence for sentence in said if sentence not in gone)]
    assert made == face_form(" ".join([person, *said]))


def test_what_the_person_does_while_the_camera_looks_away_stays() -> None:
    made = face_form(f"A woman {TRIGGER} wakes. As she begins to brush her teeth, the camera shows her hand.")
    assert made.endswith("wakes. She begins to brush her teeth.")
    assert face_form(f"The camera follows a woman {TRIGGER} home.").endswith(
        f"The camera follows a woman {TRIGGER} home."
    )
    assert face_form(f"A cook {TRIGGER} among sizzling pans and pots.").endswith("among sizzling pans and pots.")


def test_every_bundled_prompt_has_the_form() -> None:
    for identity in load_testset("synthetic50").identities:
        for prompt in identity.prompts:
            assert marks(prompt.face, identity.class_word)
            assert set(sentences(prompt.long)) - set(sentences(prompt.face)) == set(), "nothing there looks away"
            assert prompt.face != prompt.long


def test_every_pubfig_prompt_has_the_form(vbench_prompts: Path) -> None:
    templates = (*read_templates(vbench_prompts, main_only=False), *baby_templates())
    lost = 0
    for template in templates:
        for group in template.groups:
            _, long = template.fill(group)
            made = face_form(long)
            assert marks(made, group.split()[-1]), template.id
            assert len(made.split()) <= len(long.split()) + 25
            assert sentences(made)[1], "more than the framing is left"
            assert len(made[: made.index(TRIGGER)]) - len(long[: long.index(TRIGGER)]) < 50, "the person comes early"
            lost += len(sentences(long)) + 1 - len(sentences(made))
    assert lost > 20, "VBench's cameras look at hands, balls and kites"


@pytest.mark.parametrize("text", ["", " ", "a man img"])
def test_short_and_empty_texts(text: str) -> None:
    assert face_form(text).split(". ")[-1].rstrip() == (text.strip() or face_form(text))
