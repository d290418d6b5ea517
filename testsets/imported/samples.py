"""From pictures and texts as other sets keep them to people with marked prompts; nothing written leaves its folder."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from mmbench.errors import ManifestError
from mmbench.files import is_file, sha256
from mmbench.names import PathFinder, few, key, readable
from mmbench.tables import printable
from mmbench.testsets.imported.words import mark_person
from mmbench.testsets.types import Identity, Prompt

MAX_BYTES = 32_000_000
"""Of a list or prompt file; the largest of the known ones has 0.1 MB."""

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Text:
    """One prompt of a person: its id in the set, the place it was read from, and its two forms without trigger."""

    id: str
    place: str
    short: str
    long: str


def person(name: str, group: str, pictures: Sequence[Path], texts: Sequence[Text]) -> Identity:
    """An identity whose prompts have the order of `texts`; its class word is that of the first one.

    Words differ among the prompts of sets that were not made for trigger words ("a man", "the chef"): which one a
    prompt means is said by its trigger. Raises ManifestError as `mark_person`.
    """
    prompts, words = [], []
    for index, text in enumerate(texts):
        long, word = mark_person(text.long, text.place)
        short = long if text.short.strip() == text.long.strip() else mark_person(text.short, text.place)[0]
        prompts.append(Prompt(text.id, index, short, long))
        words.append(word)
    return Identity(name, group, words[0], tuple(pictures), tuple(prompts))


def gathered(steps: Iterable[Callable[[], Identity | None]], where: Path) -> tuple[Identity, ...]:
    """The people that the steps give, in their order; a step may give nobody.

    Raises ManifestError naming everything that steps refuse, not only the first; for nobody at all; and for two people
    whose files would be one on some system.
    """
    found: dict[str, Identity] = {}
    wrong: list[ManifestError] = []
    for step in steps:
        try:
            who = step()
            if who is not None and (other := found.setdefault(key(who.id), who)) is not who:
                raise ManifestError(f"{where}: {other.id} and {who.id} are one name on many systems.", "Rename one.")
        except ManifestError as error:
            wrong.append(error)
    if len(wrong) > 1:
        said = few((error.message.rstrip(".") for error in wrong), 8)
        raise ManifestError(f"{where}: {len(wrong)} entries cannot be used: {said}.", wrong[0].remedy)
    if wrong:
        raise wrong[0]
    if not found:
        raise ManifestError(f"{where}: holds nobody.", "Download the set again.")
    return tuple(found.values())


def name_of(written: str) -> str:
    """A name for files and ids: the one given where letters, digits, dot, dash and underscore make it up.

    Else such characters in place of the others, and eight digits of the given name's sha256, so that names stay apart.
    """
    if _NAME.fullmatch(written):
        return written
    plain = unicodedata.normalize("NFKD", written).encode("ascii", "ignore").decode()
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', plain).strip('_') or 'person'}-{sha256(readable(written).encode())[:8]}"


def usable_name(written: object, where: Path) -> str:
    """A name that a file's list gives. Raises ManifestError where it cannot be part of a file name."""
    if not isinstance(written, str) or not _NAME.fullmatch(written):
        raise ManifestError(
            f"{where}: {written!r} cannot be part of a file name.", "Use letters, digits, '.', '-' and '_'."
        )
    return written


def inside(folder: Path, written: object, where: str) -> Path:
    """The file below `folder` that a list names. Raises ManifestError: a path that leads elsewhere, or no such file.

    Absolute paths, drives, NUL and ".." are refused before anything is looked for.
    """
    if not isinstance(written, str) or not written.strip() or not printable(written):
        raise ManifestError(f"{where}: {written!r} is no path.", "Download the list again.")
    parts = PureWindowsPath(written)  # knows both separators
    if parts.drive or parts.root or ".." in parts.parts or "\0" in written:
        raise ManifestError(f"{where}: {written!r} leads out of {folder}.", "Get the list from its authors' page.")
    path = PathFinder(folder).find(written)
    if not is_file(path):
        raise ManifestError(f"{where}: the picture {path} is missing.", "Download the set's pictures again.")
    return path


def read_text(path: Path) -> str:
    """A file of text in UTF-8, with or without a byte order mark. Raises ManifestError: none, too large, no text."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ManifestError(f"{path}: {size} bytes are too many for a list of prompts.", "Download it again.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause.strerror}.", "Download it again.") from cause
    except UnicodeDecodeError as cause:
        raise ManifestError(f"{path}: no text in UTF-8: {cause.reason}.", "Download it again.") from cause


def read_map(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ManifestError: damaged, no object, a key that stands twice in any object."""

    def whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ManifestError(f"{path}: {name!r} stands twice.", "Delete one of the two, or download it again.")
            found[name] = value
        return found

    try:
        document = json.loads(read_text(path), object_pairs_hook=whole)
    except (ValueError, RecursionError) as cause:
        raise ManifestError(f"{path}: damaged, it is no JSON: {cause}.", "Download it again.") from cause
    if not isinstance(document, dict):
        raise ManifestError(f"{path}: holds no object of samples.", "Download it again.")
    return document


def in_order(names: Iterable[str]) -> list[str]:
    """Names by the numbers in them: 2_man.png before 10_man.png."""
    return sorted(names, key=lambda name: ([(not p.isdecimal(), p.zfill(20)) for p in re.split(r"(\d+)", name)], name))
