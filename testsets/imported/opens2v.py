"""The Human-Domain part of OpenS2V-Eval (Yuan 2025): 60 samples, each one person's picture and one text.

`Human-Domain_Eval.json` maps a sample's name (`singleface_3`) to `img_paths`, `prompt` and `class_label`. Two samples
that show one picture are one identity with two prompts, so that intervals do not count the person twice.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError
from mmbench.testsets.imported.samples import Text, gathered, inside, person, read_map, usable_name
from mmbench.testsets.types import GROUPS, Identity

LIST = "Human-Domain_Eval.json"


def recognise(folder: Path) -> bool:
    """Whether the folder is a copy of OpenS2V-Eval."""
    return (folder / LIST).is_file()


def read(folder: Path) -> tuple[Identity, ...]:
    """The people of the list in its order, each named after the first sample that shows its picture.

    A prompt's id is the sample's name. Raises ManifestError naming the sample: several pictures or several people, a
    label that is no group of people, a missing picture, a path that leads out of the folder.
    """
    where = folder / LIST
    samples: dict[Path, tuple[str, list[Text]]] = {}
    for name, sample in read_map(where).items():
        picture, group, text = _sample(folder, where, usable_name(name, where), sample)
        first, texts = samples.setdefault(picture, (group, []))
        if first != group:
            raise ManifestError(
                f"{where}: {texts[0].id} and {name} show {picture} as {first} and as {group}.", "Mend a `class_label`."
            )
        texts.append(text)
    steps = (partial(person, texts[0].id, group, (picture,), texts) for picture, (group, texts) in samples.items())
    return gathered(steps, where)


def _sample(folder: Path, where: Path, name: str, sample: Any) -> tuple[Path, str, Text]:
    place = f"{where}: {name}"
    if not isinstance(sample, dict) or not isinstance(sample.get("prompt"), str):
        raise ManifestError(f"{place} has no `prompt`.", "Download the list again.")
    pictures, labels = sample.get("img_paths"), sample.get("class_label")
    if not isinstance(pictures, list) or len(pictures) != 1:
        raise ManifestError(
            f"{place} does not show exactly one picture.", f"Only samples of one person can be used: those of {LIST}."
        )
    group = str(labels[0]).lower() if isinstance(labels, list) and len(labels) == 1 else ""
    if group not in GROUPS:
        raise ManifestError(f"{place} is labelled {labels!r}, which is no person.", f"Known: {', '.join(GROUPS)}.")
    text = sample["prompt"]
    return inside(folder, pictures[0], place), group, Text(name, place, text, text)
