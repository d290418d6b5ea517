"""Prompts of finished videos, out of a table or out of the maps in which other benchmarks keep them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mmbench.errors import ManifestError
from mmbench.files import read_json
from mmbench.items import Item
from mmbench.names import PathFinder, few, key, readable
from mmbench.tables import Line, printable, read_table, whole_number

KNOWN = frozenset(("video", "identity", "prompt_index", "prompt", "prompt_long"))
_SHORT = ("prompt", "prompt_en", "text", "caption")
_LONG = ("prompt_long", "augmented_prompt_en", "prompt_en_long", "refined_prompt")
_PICTURES = ("img_paths", "references", "reference_images", "image_paths", "img_path")
_NAMES = ("video", "name", "id", "video_name")


@dataclass(frozen=True)
class PromptLine:
    """One prompt: the place it stands at, whom or what it is for, its texts and, in a map, its reference pictures.

    It is for videos called `video` (or so but for their ending or a number behind a dash), else for `identity` and,
    where given, `index`; with neither, for videos named after the text itself.
    """

    place: str
    prompt: str
    prompt_long: str | None = None
    video: str = ""
    identity: str = ""
    index: int | None = None
    references: tuple[Path, ...] = ()


def read_prompts(path: Path) -> tuple[list[PromptLine], list[str]]:
    """Prompts of a CSV file (`prompt` and `video` or `identity`), or of a map in JSON, with notes.

    Maps: `{"name": {"prompt": ..., "img_paths": [...]}}` as OpenS2V and ConsisID have them, `{"name": "prompt"}`, and
    VBench's list of `{"prompt_en": ...}`, whose videos are named after the prompt. Raises ManifestError naming the
    place: no such columns or keys, two prompts for one video, a text that is none.
    """
    lines, notes = _from_json(path) if path.suffix.lower() == ".json" else _from_table(path)
    first: dict[tuple[str, str, int | None, str], PromptLine] = {}
    for line in lines:
        whom = (key(line.video), key(line.identity), line.index, "" if line.video or line.identity else line.prompt)
        other = first.setdefault(whom, line)
        if (other.prompt, other.prompt_long) != (line.prompt, line.prompt_long):
            raise ManifestError(
                f"{path}: {other.place} and {line.place} hold two prompts for {few([line.video or line.identity])}.",
                "Delete one of them.",
            )
    return lines, notes


class Prompts:
    """Finds the prompt of a video, and knows in the end which lines were of no use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines, self.notes = read_prompts(path)
        self.videos = _by(lambda line: line.video, self.lines)
        self.people = {(key(line.identity), line.index): line for line in self.lines if line.identity}
        self.texts = {_words(line.prompt): line for line in self.lines if not line.video and not line.identity}
        self.used: set[str] = set()
        self.brings_references = any(line.references for line in self.lines)

    def of(self, relative: str, identity: str | None, index: int | None) -> PromptLine | None:
        """The prompt for the clip at `relative` (below its folder), of `identity` and prompt `index` where known."""
        found = self._named(relative)
        if found is None and identity is not None:
            whom = key(identity)
            found = self.people.get((whom, index)) or self.people.get((whom, None))
        if found is not None:
            self.used.add(found.place)
        return found

    def _named(self, relative: str) -> PromptLine | None:
        name = relative.rsplit("/", 1)[-1]
        for whole in (relative, name):
            for spelt in dict.fromkeys((whole, str(PurePosixPath(whole).with_suffix("")))):
                if line := self.videos.get(key(spelt)):
                    return line
        stem = PurePosixPath(name).stem
        for spelt in (stem, re.sub(r"[-_][0-9]+$", "", stem)):
            if line := self.videos.get(key(spelt)) or self.texts.get(_words(spelt)):
                return line
        return None

    def unused(self) -> list[str]:
        """A note on the lines that fit no video. Raises ManifestError where none fits any."""
        idle = [line for line in self.lines if line.place not in self.used]
        if len(idle) == len(self.lines):
            raise ManifestError(
                f"{self.path}: none of its {len(idle)} lines fits a video.",
                "`video` is a file's name, with or without its ending; `identity` is the name of its reference.",
            )
        if not idle:
            return []
        whom = few(line.video or line.identity or line.prompt[:40] for line in idle)
        return [f"{self.path.name}: {len(idle)} of {len(self.lines)} prompts fit no video ({whom})"]


def add_prompts(items: Iterable[Item], prompts: Prompts, root: Path) -> tuple[list[Item], list[str]]:
    """Items of the videos below `root` with their prompts, and notes on videos and on prompts left over.

    Raises ManifestError when no line fits any item.
    """
    result, without = [], []
    for item in items:
        line = prompts.of(item.video.relative_to(root).as_posix(), item.identity, item.prompt_index)
        if line is None and item.prompt is None:
            without.append(item.id)
        result.append(item if line is None else replace(item, prompt=line.prompt, prompt_long=line.prompt_long))
    notes = [*prompts.notes, *prompts.unused()]
    if without:
        notes.append(f"{prompts.path.name}: has no prompt for {few(without)}")
    return result, notes


def _from_table(path: Path) -> tuple[list[PromptLine], list[str]]:
    table = read_table(path, KNOWN)
    if not table.lines or "prompt" not in table.columns or not {"video", "identity"} & set(table.columns):
        has = f"the columns {', '.join(table.columns)}" if table.lines else "no line below its header"
        raise ManifestError(
            f"{path}: has {has}; it needs the columns prompt and video or identity.",
            "Separate them by commas, semicolons or tabs.",
        )
    lines, empty = [], []
    for line in table.lines:
        where = f"{path}, line {line.number}"
        prompt, long = line.text("prompt"), line.text("prompt_long")
        for text in (prompt, long):
            if text is not None and not printable(text):
                raise ManifestError(f"{where}: a prompt holds bytes that are no UTF-8.", "Save it as CSV in UTF-8.")
        if not line.name("video") and not line.name("identity"):
            raise ManifestError(f"{where}: names neither a video nor an identity.", "Fill in one of them.")
        if prompt is None:
            empty.append(line.number)
            continue
        index = _index(line, where, table.decimal_comma)
        whom = ("", line.name("identity")) if not line.name("video") else (line.name("video"), "")
        lines.append(PromptLine(f"line {line.number}", prompt, long, *whom, index if not whom[0] else None))
    notes = list(table.notes)
    if empty:
        notes.append(f"{path.name}: the prompt is empty in line {few(empty)}")
    return lines, notes


def _index(line: Line, where: str, decimal_comma: bool) -> int | None:
    written = line.name("prompt_index")
    try:
        return whole_number(written, decimal_comma) if written else None
    except ValueError as cause:
        raise ManifestError(f"{where}: prompt_index {cause}.", "Mend the cell.") from cause


def _from_json(path: Path) -> tuple[list[PromptLine], list[str]]:
    try:
        document = read_json(path, "Mend the file.")
    except OSError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause.strerror}.", "Give a map of prompts.") from cause
    finder, lines, without = PathFinder(path.parent), [], []
    for place, name, entry in _entries(path, document):
        fields = {"prompt": entry} if isinstance(entry, str) else entry
        if not isinstance(fields, dict):
            raise ManifestError(f"{path}: {place} is neither a text nor an object.", 'Write {"name": {"prompt": ...}}.')
        prompt, long = _first(fields, _SHORT), _first(fields, _LONG)
        if not isinstance(prompt, str) or not prompt.strip():
            without.append(place)
            continue
        video = str(name or _first(fields, _NAMES) or "")
        identity = fields.get("identity")
        index = fields.get("prompt_index")
        if index is not None:
            index = _whole(index, f"{path}: {place}")
        lines.append(
            PromptLine(
                place,
                prompt,
                long if isinstance(long, str) and long.strip() else None,
                video,
                str(identity) if identity and not video else "",
                index,
                _pictures(fields, finder, f"{path}: {place}"),
            )
        )
    if not lines:
        raise ManifestError(f"{path}: holds no prompt.", 'Write {"name": {"prompt": ..., "img_paths": [...]}}.')
    return lines, [f"{path.name}: no prompt in {few(without)}"] if without else []


def _entries(path: Path, document: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(document, dict):
        for name, entry in document.items():
            yield few([name]), name, entry
    elif isinstance(document, list):
        for number, entry in enumerate(document, start=1):
            yield f"entry {number}", "", entry
    else:
        raise ManifestError(f"{path}: is neither a map nor a list.", 'Write {"name": {"prompt": ...}}.')


def _pictures(fields: Mapping[str, Any], finder: PathFinder, where: str) -> tuple[Path, ...]:
    given = _first(fields, _PICTURES) or []
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and "\0" not in name for name in names):
        raise ManifestError(f"{where}: the pictures are {json.dumps(given)[:60]}, no list of paths.", "Mend the map.")
    return tuple(finder.find(name) for name in names)


def _whole(value: Any, where: str) -> int:
    try:
        return whole_number(str(value))
    except ValueError as cause:
        raise ManifestError(f"{where}: prompt_index {cause}.", "Mend the map.") from cause


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name)), None)


def _by(name: Any, lines: Iterable[PromptLine]) -> dict[str, PromptLine]:
    """Lines by the names of their videos, with and without an ending that is a video's."""
    return {key(name(line).replace("\\", "/")): line for line in lines if name(line)}


def _words(text: str) -> str:
    """A text as names of files spell it: its words in small letters, whatever stands between them."""
    return " ".join(re.findall(r"\w+", readable(text).casefold().replace("_", " ")))
