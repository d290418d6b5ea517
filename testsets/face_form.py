"""Face-enhanced prompts: the third form of a prompt, which keeps person, action and scene and shows the face."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from mmbench.files import sha256
from mmbench.trigger import count_triggers

FACE: Final = "face"
"""The name of this form, beside a wrapper's own two ("long", "short"): in settings, rows and behind a model's name."""
RULES = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class FaceRules:
    """The rules as `face_form.yaml` has them; `digest` is of the file."""

    framings: tuple[str, ...]
    camera: re.Pattern[str]
    face: re.Pattern[str]
    digest: str


@cache
def face_rules() -> FaceRules:
    """The rules of the bundled file."""
    import yaml

    text = RULES.read_text(encoding="utf-8")
    held = yaml.safe_load(text)
    return FaceRules(tuple(held["framings"]), _words(held["camera"]), _words(held["face"]), sha256(text.encode()))


def face_form(long: str) -> str:
    """The face-enhanced form of a long prompt: a framing, then the prompt without what its camera shows elsewhere.

    The framing is chosen by the text's sha256, so that equal prompts have equal forms. A trigger stays where it is.
    (Magic Mirror, Table 1: ID similarities are "on the corresponding face-enhanced prompts"; no text is published.)

        >>> face_form("A man img plays the harp. The camera shows his hands.").split(". ")[1:]
        ['A man img plays the harp.']
    """
    rules = face_rules()
    kept = [said for part in _sentences(long) if (said := _kept(part, rules))]
    framing = rules.framings[int(sha256(long.encode())[:8], 16) % len(rules.framings)]
    return " ".join([framing, *kept])


def _kept(sentence: str, rules: FaceRules) -> str:
    """What stays of a sentence: all, unless its camera shows no face; then what the person does before that."""
    if not rules.camera.search(sentence) or rules.face.search(sentence) or count_triggers(sentence):
        return sentence
    doing = re.match(r"As ((?:he|she|they)\b[^,]*),", sentence)
    if doing is None or rules.camera.search(doing[1]):
        return ""
    return f"{doing[1][0].upper()}{doing[1][1:]}."


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def _words(patterns: list[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(patterns)})(?![\w-])", re.IGNORECASE)
