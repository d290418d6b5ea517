"""ConsisID's evaluation set (Yuan, CVPR 2025): every picture in `eval/face_images` with every line of a table.

The table has a short text and two long ones, for men and for women, with `{class_token}` where the person is named. The
authors' script fills in the line's class ("General") there; here it is man or woman, which is what the texts mean.
Whom a picture shows is said by its name, as in that script: a woman where "woman" is part of it, else a man.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from shlex import quote

from mmbench.errors import ManifestError
from mmbench.tables import Line, read_table
from mmbench.testsets.imported.samples import ENDINGS, Text, gathered, in_order, name_of, person
from mmbench.testsets.types import Identity
from mmbench.trigger import TRIGGER

TABLES = ("video_caption_eval_old.csv", "eval/video_caption_eval_old.csv")
PICTURES = "eval/face_images"
ARCHIVE = "eval/face_images.tar"
COLUMNS = ("index", "Class", "Original_Prompt", "Refined_man", "Refined_woman")
TOKEN = "{class_token}"


def recognise(folder: Path) -> bool:
    """Whether the folder is a copy of ConsisID-preview-Data."""
    return _table(folder) is not None


def read(folder: Path) -> tuple[Identity, ...]:
    """One identity a picture, by the numbers in their names; prompts by the table's lines, their ids its `index`.

    Raises ManifestError: no pictures (naming the archive where it is not unpacked), columns or texts that lack, two
    lines of one index, a text without the place where the person is named.
    """
    table = _table(folder)
    if table is None:
        raise ManifestError(f"{folder}: has no {TABLES[0]}.", "Download it again.")
    lines = _lines(table)
    pictures = folder / PICTURES
    if not pictures.is_dir():
        packed = folder / ARCHIVE
        remedy = (
            f"tar -xf {quote(str(packed))} -C {quote(str(packed.parent))}"
            if packed.is_file()
            else f"Download {ARCHIVE} and unpack it."
        )
        raise ManifestError(f"{pictures}: there are no pictures.", remedy)
    names = in_order(
        path.name
        for path in pictures.iterdir()
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    _person(Path("man"), table, lines), _person(Path("woman"), table, lines)  # a faulty line is told once
    return gathered((partial(_person, pictures / name, table, lines) for name in names), pictures)


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _lines(path: Path) -> dict[str, Line]:
    table = read_table(path, COLUMNS)
    if lacking := [name for name in COLUMNS if name != "Class" and name not in table.columns]:
        raise ManifestError(f"{path}: has no column {', '.join(lacking)}.", "Download it again.")
    found: dict[str, Line] = {}
    for line in table.lines:
        index = line.name("index")
        if not index.isascii() or not index.isdecimal() or index in found:
            raise ManifestError(f"{path}, line {line.number}: its index {index!r} is no number of its own.", "Mend it.")
        found[index] = line
    if not found:
        raise ManifestError(f"{path}: has no prompts.", "Download it again.")
    return found


def _person(picture: Path, table: Path, lines: dict[str, Line]) -> Identity:
    word = "woman" if "woman" in picture.name.lower() else "man"
    texts = []
    for index, line in lines.items():
        place = f"{table}, line {line.number}"
        short, long = (_filled(line, column, word, place) for column in ("Original_Prompt", f"Refined_{word}"))
        texts.append(Text(index, place, short, long))
    return person(name_of(picture.stem), word, (picture,), texts)


def _filled(line: Line, column: str, word: str, place: str) -> str:
    text = line.text(column) or ""
    if TOKEN in text:  # the first one is whom the picture shows; a second one is the same person again
        return text.replace(TOKEN, f"{word} {TRIGGER}", 1).replace(TOKEN, word)
    raise ManifestError(f"{place}: {column} does not say {TOKEN}.", "Write it where the person is named.")
