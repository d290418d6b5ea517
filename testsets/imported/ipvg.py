"""The test set of the IPVG challenge (ACM Multimedia 2025, facial track): a folder a person, a picture, five prompts.

`id001/image.png` and `id001/prompt1.txt` to `prompt5.txt`. Nothing says who is a man or a woman, and some texts call a
man "her": people have no group here.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.testsets.imported.samples import ENDINGS, Text, gathered, in_order, name_of, person, read_text
from mmbench.testsets.types import Identity

_PICTURE = re.compile(r"image[0-9]*", re.IGNORECASE)
_PROMPT = re.compile(r"prompt([1-9][0-9]{0,3})\.txt", re.IGNORECASE)


def recognise(folder: Path) -> bool:
    """Whether a folder in it has a picture and prompts as the challenge names them."""
    return any(_PICTURE.fullmatch(path.stem) and path.suffix.lower() in ENDINGS for path in folder.glob("*/*")) and any(
        _PROMPT.fullmatch(path.name) for path in folder.glob("*/*.txt")
    )


def read(folder: Path) -> tuple[Identity, ...]:
    """One identity a folder, by the numbers in their names; a prompt's id is `id001_prompt1`.

    Folders with neither a picture nor a prompt are passed over. Raises ManifestError naming the folder: one without the
    other, a number left out, a file that is no text.
    """
    names = in_order(path.name for path in folder.iterdir() if path.is_dir())
    return gathered((partial(_person, folder / name) for name in names), folder)


def _person(folder: Path) -> Identity | None:
    names = in_order(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    pictures = [folder / n for n in names if _PICTURE.fullmatch(Path(n).stem) and Path(n).suffix.lower() in ENDINGS]
    prompts = {int(found[1]): folder / name for name in names if (found := _PROMPT.fullmatch(name))}
    if not pictures and not prompts:
        return None
    if not pictures or not prompts:
        lacks = "prompt1.txt" if pictures else "image.png"
        raise ManifestError(f"{folder}: has no {lacks}.", "Download the set again, or delete the folder.")
    if lacking := sorted(set(range(1, max(prompts) + 1)) - prompts.keys()):
        raise ManifestError(f"{folder / f'prompt{lacking[0]}.txt'}: is missing.", "Download the set again.")
    name = name_of(folder.name)
    texts = []
    for number, path in sorted(prompts.items()):
        text = read_text(path)
        texts.append(Text(f"{name}_prompt{number}", str(path), text, text))
    return person(name, "", pictures, texts)
