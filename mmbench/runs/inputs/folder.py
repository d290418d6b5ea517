"""Items of a folder of anyone's videos: whom each shows and who made it, by names, by a pattern or by a map."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.names import few, key, readable
from mmbench.runs.inputs.collection import Collection, collected
from mmbench.runs.inputs.listing import list_clips, no_video, passed_over
from mmbench.runs.inputs.pattern import FIELDS, NUMBERS, Pattern
from mmbench.runs.inputs.prompts import Prompts, add_prompts
from mmbench.runs.inputs.references import People, identities_of, read_people, unused

NO_REFERENCES = "no references were given: nothing about faces can be measured"


@dataclass(frozen=True)
class FolderSource:
    """Where to look: a folder of videos, references, prompts; who made the videos; what paths mean.

    Without `references` a map of prompts may bring them. `unfinished` keeps videos that nothing is known of, without
    identity and references, for a person to fill in; else they are an error.
    """

    folder: Path
    references: Path | None = None
    prompts: Path | None = None
    name: str | None = None
    pattern: str | None = None
    unfinished: bool = False


def collect_folder(source: FolderSource) -> Collection:
    """Items of a folder as `read_folder` describes it, with notes on what was passed over, merged or overruled."""
    folder = source.folder
    people = read_people(source.references) if source.references else People({})
    listing = list_clips(folder, source.references)
    left_out = passed_over(folder, listing.told)
    if not listing.found:
        raise no_video(folder, left_out)
    prompts = Prompts(source.prompts) if source.prompts else None
    reader = _Reader(source, people, prompts)
    found = [(clip, reader.item(clip)) for clip in listing.found]
    items = [item for _, item in found if item is not None]
    notes = [*left_out, *people.notes, *reader.notes()]
    if not items:
        raise ManifestError(f"{folder}: {'; '.join(notes)}: nothing is left.", "Change the pattern.")
    if reader.lost and not source.unfinished:
        raise ManifestError(
            f"{folder}: no reference in {source.references} fits {few(reader.lost)}.",
            "Begin the file name with the identity's name, put it in a folder of that name, say what names mean "
            "(--pattern), or use --manifest. Where all videos show one person, give that person's picture itself as "
            "--references.",
        )
    items = _with_references(items, people, reader.brought)
    if prompts:
        items, more = add_prompts(items, prompts, folder)
        notes += more
        if prompts.brings_references and source.references:
            notes.append(f"{prompts.path.name}: its pictures are overruled by {source.references}")
    elif not source.references and not source.unfinished:
        notes.append(NO_REFERENCES)
    if source.references and not people.everybody:
        notes += unused(people, (item.identity for item in items))
    return collected(_apart(items, folder), [*notes, *_merged(items, source)], folder)


class _Reader:
    """Reads what the path of each clip says."""

    def __init__(self, source: FolderSource, people: People, prompts: Prompts | None) -> None:
        self.source, self.people = source, people
        self.pattern = Pattern(source.pattern) if source.pattern else None
        self.prompts = prompts if prompts and prompts.brings_references and not source.references else None
        self.lost: list[str] = []
        self.unfit: list[str] = []
        self.brought: dict[str, tuple[Path, ...]] = {}

    def item(self, clip: Path) -> Item | None:
        relative = clip.relative_to(self.source.folder)
        whole = relative.as_posix()
        stem = whole if clip.is_dir() else relative.with_suffix("").as_posix()
        item = self._by_pattern(clip, stem) if self.pattern else self._by_names(clip, relative, stem)
        if item is None:
            self.unfit.append(whole)
        elif self.prompts:
            line = self.prompts.of(whole, None, None)
            if line and line.references:
                self.brought[item.id] = line.references
        if item and not item.identity and not self.prompts and self.source.references:
            self.lost.append(whole)
        return item

    def notes(self) -> list[str]:
        if not self.unfit:
            return []
        return [f"{len(self.unfit)} clips do not fit the pattern {self.source.pattern} ({few(self.unfit)})"]

    def _by_names(self, clip: Path, relative: Path, stem: str) -> Item:
        identity = self.people.identity(relative.parts)
        top, known = relative.parts[0], {key(name) for name in self.people.pictures}
        named = len(relative.parts) > 1 and (key(top) not in known or self.people.everybody)
        model = readable(top if named else self.source.name or self.source.folder.resolve().name)
        index = re.search(r"[_-]([0-9]{1,3})$", stem)
        return self._item(clip, model, stem, identity or "", {"prompt_index": index[1]} if index else {})

    def _by_pattern(self, clip: Path, stem: str) -> Item | None:
        assert self.pattern is not None
        given = () if self.people.everybody else tuple(self.people.pictures)
        fields = self.pattern.read(stem, given)
        if fields is None:
            return None
        model = fields.pop("model", None) or self.source.name or readable(self.source.folder.resolve().name)
        identity = fields.pop("identity", None) or self.people.identity(clip.relative_to(self.source.folder).parts)
        prompt = fields.get("prompt", "")
        if re.fullmatch("[0-9]+", prompt) and "prompt_index" not in fields:
            fields["prompt_index"] = fields.pop("prompt")
        elif prompt and " " not in prompt:  # as words are joined in names of files
            fields["prompt"] = re.sub(r"[_-]+", " ", prompt)
        return self._item(clip, model, stem, identity or "", fields)

    def _item(self, clip: Path, model: str, stem: str, identity: str, fields: dict[str, str]) -> Item:
        stem = readable(stem)
        numbers = {name: int(fields[name]) for name in NUMBERS if name in fields}
        return Item(
            id=stem if stem.startswith(f"{model}/") else f"{model}/{stem}",
            model=model,
            identity=identity,
            video=clip,
            references=self.people.pictures.get(identity, ()),
            group=fields.get("group"),
            prompt=fields.get("prompt"),
            prompt_index=numbers.get("prompt_index"),
            seed=numbers.get("seed"),
            step=numbers.get("step"),
            extra={name: value for name, value in fields.items() if name not in FIELDS},
        )


def _with_references(items: Iterable[Item], people: People, brought: dict[str, tuple[Path, ...]]) -> list[Item]:
    """Items with the references that a map brought, and with a name for whom they show where only these tell it."""
    names = identities_of(brought.values())
    done = []
    for item in items:
        references = brought.get(item.id, item.references)
        known = item.identity or (names[references] if item.id in brought else "")
        if not people.pictures and not known:  # no person is known of at all: each video stands for itself
            known = readable(item.video.stem)
        done.append(replace(item, references=references, identity=known))
    return done


def _apart(items: list[Item], folder: Path) -> list[Item]:
    """Items whose ids are equal only in composed Unicode keep their own spelling: they are two files."""
    seen: dict[str, Item] = {}
    done = []
    for item in items:
        first = seen.setdefault(item.id, item)
        if first is not item and key(first.video.name) == key(item.video.name):
            item = replace(item, id=f"{item.id} ({ascii(item.video.name)[1:-1]})")
        done.append(item)
    return done


def _merged(items: Iterable[Item], source: FolderSource) -> list[str]:
    """Notes where clips of one model look as if several models had made them."""
    if source.pattern:
        return []
    rests: dict[str, set[str]] = defaultdict(set)
    between: dict[str, set[str]] = defaultdict(set)
    for item in items:
        parts = item.video.relative_to(source.folder).with_suffix("").parts
        names = [readable(part) for part in parts]
        named = len(names) > 1 and names[0] == item.model
        between[item.model] |= {name for name in names[1 if named else 0 : -1] if key(name) != key(item.identity)}
        rest = names[-1]
        if item.identity and key(rest).startswith(key(item.identity)):
            rest = rest[len(item.identity) :]
        rest = re.sub(r"[\W_]*[0-9]+$", "", rest).strip("_-. ")
        if not named and not source.name and re.search(r"[^\W\d_]", rest):
            rests[item.model].add(rest)
    notes = []
    for model, folders in between.items():
        if len(folders) > 1:
            notes.append(f"clips in the folders {few(sorted(folders))} are taken for one model, {model}; {_MODELS}")
    for model, found in rests.items():
        people = {item.identity for item in items if item.model == model}
        if len(found) > 1 and people and source.references:
            notes.append(
                f"clips called {few(sorted(found))} are taken for one model, {model} (--name says so); {_MODELS}"
            )
    return notes


_MODELS = "if not, say what names mean: --pattern '{identity}/{model}', '{identity}_{model}'"
