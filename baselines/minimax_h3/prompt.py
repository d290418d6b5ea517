"""A plain prompt in the six sections that MiniMax-H3 was taught, with its person named after the pictures.

Names and order of the sections, and what its tags mean, are those of its makers' guide for references
(github.com/MiniMax-AI/MiniMax-H3, `skills/h3-prompt-writing`) and of the requests they publish; the words between are
ours. Its makers have a service fill the sections at length from prompt and pictures; it is no part of the release.
"""

from __future__ import annotations

from mmbench.trigger import word_end

SUBJECT = "<Subject 1>"


def in_sections(prompt: str, class_word: str, pictures: int) -> str:
    """The six sections around `prompt`, whose first `class_word` is named as the subject of `pictures` pictures.

    A prompt without the word is said to show the subject as a whole. Of sound the test sets say nothing: what belongs
    to the scene, no music.
    """
    tags = [f"<Picture {number}>" for number in range(1, pictures + 1)]
    shown = " and ".join([", ".join(tags[:-1]), tags[-1]] if pictures > 1 else tags)
    end = word_end(prompt, class_word)
    scene = f"{SUBJECT} is seen here: {prompt}" if end is None else f"{prompt[:end]} ({SUBJECT}){prompt[end:]}"
    sections = {
        "subject_definitions": f"{SUBJECT} is the {class_word or 'person'} in {shown}.",
        "summary": f"[reference generation] A video of {SUBJECT}.",
        "retention_analysis": f"{SUBJECT} (appears in [Shot 1]): fully_preserved - the same face and the same person.",
        "detailed_description": f"[Shot 1] {scene}",
        "overall_soundscape": "The sounds of the scene.",
        "non_diegetic_music": "None.",
    }
    return "\n\n".join(f"{name}:\n{text}" for name, text in sections.items())
