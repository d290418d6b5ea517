"""Small sets of our own in the layouts of others: as their authors hand them out, but for what is in them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 24), (shade % 256, 80, 120)).save(path)
    return path


def sample(picture: str, prompt: str, label: str = "Man") -> dict[str, Any]:
    return {"img_paths": [picture], "prompt": prompt, "synthesis_flag": "wrong", "class_label": [label]}


def opens2v(folder: Path, samples: Mapping[str, Mapping[str, Any]]) -> Path:
    """A copy of OpenS2V-Eval with these samples, and their pictures where those are inside."""
    for number, one in enumerate(samples.values()):
        for written in one.get("img_paths", ()):
            if isinstance(written, str) and written.startswith("Images/") and ".." not in written:
                picture(folder / written, number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Human-Domain_Eval.json").write_text(json.dumps(samples, indent=4), "utf-8")
    return folder


CONSISID_COLUMNS = ("index", "Class", "Original_Prompt", "Refined_man", "Refined_woman")


def consisid(folder: Path, pictures: Iterable[str], lines: Sequence[Sequence[object]]) -> Path:
    """A copy of ConsisID-preview-Data's evaluation part with these pictures and lines of the table."""
    for number, name in enumerate(pictures):
        picture(folder / "eval" / "face_images" / name, number)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "video_caption_eval_old.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(CONSISID_COLUMNS)
        writer.writerows(lines)
    return folder


def ipvg(folder: Path, people: Mapping[str, Sequence[str]]) -> Path:
    """The challenge's facial test set with these people's prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, prompts) in enumerate(people.items()):
        picture(folder / name / "image.png", number)
        for index, text in enumerate(prompts, 1):
            (folder / name / f"prompt{index}.txt").write_text(text, "utf-8")
    return folder
