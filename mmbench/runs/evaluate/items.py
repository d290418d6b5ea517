"""Where items come from: a manifest (CSV), or a folder of anyone's videos with a folder of references."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.video.endings import PICTURE_ENDINGS, VIDEO_ENDINGS, is_litter, is_picture
from mmbench.video.listing import find_clips, find_pictures

MANIFEST_COLUMNS = (
    *("id", "model", "identity", "group", "video", "references", "prompt", "prompt_long"),
    *("prompt_index", "seed", "fps", "condition"),
)


def read_manifest(path: Path) -> list[Item]:
    """Items of a CSV manifest; paths in it are relative to its folder.

    Columns: `video` and `references` (several separated by ';') are required, and `model` (or `system`). Without
    `identity`, videos with the same references are one identity. Other columns: see MANIFEST_COLUMNS; unknown
    ones are kept in `Item.extra`. Files need not exist yet: a missing video becomes a row with its error.
    Raises ManifestError naming the line for a missing column, an empty cell, a bad number or a repeated id.

        >>> import mmbench
        >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
        >>> len(items), items[0].model, items[0].identity
        (400, 'truth', 'man-00')
    """
    reader = csv.DictReader(_csv_text(path).splitlines())
    header = set(reader.fieldnames or ())
    lacking = {"video", "references"} - header
    if lacking or not header & {"model", "system"}:
        lacking |= set() if header & {"model", "system"} else {"model"}
        raise ManifestError(
            f"{path}: the columns {', '.join(sorted(lacking))} are missing; it has {', '.join(sorted(header))}.",
            "A manifest needs at least model, video and references.",
        )
    items = [_manifest_item(path, number, line) for number, line in enumerate(reader, start=2)]
    return unique(items, path)


def _manifest_item(path: Path, number: int, line: Mapping[str, str | None]) -> Item:
    cell = {key: (value or "").strip() for key, value in line.items() if key is not None}
    where = f"{path}, line {number}"

    def required(name: str) -> str:
        if not cell.get(name):
            raise ManifestError(f"{where}: the cell {name!r} is empty.", "Fill it in.")
        return cell[name]

    def number_of(name: str, kind: type[int] | type[float]) -> float | None:
        if not cell.get(name):
            return None
        try:
            return kind(cell[name])
        except ValueError as cause:
            raise ManifestError(f"{where}: {name} is {cell[name]!r}, not a number.", "Mend the cell.") from cause

    cell.setdefault("model", cell.get("system", ""))
    model, video = required("model"), path.parent / required("video")
    references = tuple(path.parent / name.strip() for name in required("references").split(";") if name.strip())
    index, seed = number_of("prompt_index", int), number_of("seed", int)
    return Item(
        id=cell.get("id") or f"{model}/{Path(cell['video']).with_suffix('').as_posix()}",
        model=model,
        identity=cell.get("identity") or "+".join(reference.stem for reference in references),
        video=video,
        references=references,
        group=cell.get("group") or None,
        prompt=cell.get("prompt") or None,
        prompt_long=cell.get("prompt_long") or None,
        prompt_index=None if index is None else int(index),
        seed=None if seed is None else int(seed),
        fps=number_of("fps", float),
        condition=path.parent / cell["condition"] if cell.get("condition") else None,
        extra={k: v for k, v in cell.items() if k not in (*MANIFEST_COLUMNS, "system") and v},
    )


def read_folder(folder: Path, references: Path, prompts: Path | None = None, name: str | None = None) -> list[Item]:
    """Items of a folder of videos, matched to identities by name.

    references: one image (everything shows that person), or a folder holding `<identity>.png` or
    `<identity>/*.png`. A video belongs to the identity that is one of its parent folders' names, or the longest
    that its file name begins with (followed by a separator or the end). A folder directly under `folder` that is
    not an identity is the name of a model; otherwise the model is `name` or the folder's own name. prompts: CSV with
    `video` (file name or stem) or `identity` [and `prompt_index`] and `prompt` [and `prompt_long`].
    Raises ManifestError when there is no video, no reference, a video fits no identity, or two videos differ only in
    their endings.

        >>> import mmbench
        >>> bundled = mmbench.load_testset("synthetic50").folder
        >>> items = mmbench.read_folder(bundled / "controls" / "drift", bundled / "references")
        >>> len(items), items[0].model, len({item.identity for item in items})
        (50, 'drift', 50)
    """
    people = read_references(references)
    videos = find_videos(folder)
    if not videos:
        raise ManifestError(
            f"{folder}: no video found.",
            f"Known endings: {', '.join(VIDEO_ENDINGS)}, or folders of images.",
        )
    items, lost = [], []
    for video in videos:
        relative = video.relative_to(folder)
        # One picture given as such is of everybody; a folder that holds one may merely lack the others.
        identity = next(iter(people)) if references.is_file() else _identity_of(relative, tuple(people))
        if identity is None:
            lost.append(relative.as_posix())
            continue
        top = relative.parts[0]
        model = top if len(relative.parts) > 1 and top not in people else name or folder.resolve().name
        stem = relative.with_suffix("").as_posix() if video.is_file() else relative.as_posix()
        index = re.search(r"[_-](\d{1,3})$", stem)
        items.append(
            Item(
                id=stem if stem.startswith(f"{model}/") else f"{model}/{stem}",
                model=model,
                identity=identity,
                video=video,
                references=people[identity],
                prompt_index=int(index.group(1)) if index else None,
            )
        )
    if lost:
        shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise ManifestError(
            f"{folder}: no reference in {references} fits {shown}.",
            "Begin the file name with the identity's name, put it in a folder of that name, or use --manifest. "
            "Where all videos show one person, give that person's picture itself as --references.",
        )
    return unique(add_prompts(items, prompts) if prompts else items, folder)


def read_references(path: Path) -> dict[str, tuple[Path, ...]]:
    """Reference images by identity: a single image, `<identity>.png` files, or `<identity>/` folders of images."""
    if path.is_file():
        return {path.stem: (path,)}
    if not path.is_dir():
        raise ManifestError(f"{path}: no such file or folder.", "Give the reference image or a folder of them.")
    people: dict[str, tuple[Path, ...]] = {}
    for entry in sorted(path.iterdir()):
        if is_litter(entry):
            continue
        if entry.is_dir():
            if images := _images(entry):
                people[entry.name] = images
        elif is_picture(entry):
            people[entry.stem] = (entry,)
    if not people:
        raise ManifestError(f"{path}: holds no reference image.", f"Known: {', '.join(PICTURE_ENDINGS)}.")
    return people


def find_videos(folder: Path) -> list[Path]:
    """Video files under `folder`, and folders that hold nothing but images (frame folders), in sorted order."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ManifestError(f"{folder}: {what}.", "Give the folder that holds the videos.")
    return list(find_clips(folder).found)


def add_prompts(items: Iterable[Item], path: Path) -> list[Item]:
    """Items with the prompts of a CSV file, matched by `video`, else by `identity` [and `prompt_index`].

    Raises ManifestError when a column lacks or no line fits any item.
    """
    rows = list(csv.DictReader(_csv_text(path).splitlines()))
    if not rows or "prompt" not in rows[0] or not {"video", "identity"} & set(rows[0]):
        has = f"the columns {', '.join(filter(None, rows[0]))}" if rows else "no line below its header"
        raise ManifestError(
            f"{path}: has {has}; it needs the columns prompt and video or identity.", "Separate them by commas."
        )
    by_video = {row["video"]: row for row in rows if row.get("video")}
    by_identity = {(row["identity"], row.get("prompt_index") or ""): row for row in rows if row.get("identity")}
    result = []
    fitting = 0
    for item in items:
        index = "" if item.prompt_index is None else str(item.prompt_index)
        row = (
            by_video.get(item.video.name)
            or by_video.get(item.video.stem)
            or by_identity.get((item.identity, index))
            or by_identity.get((item.identity, ""))
        )
        if row:
            fitting += 1
            item = replace(item, prompt=row["prompt"] or None, prompt_long=row.get("prompt_long") or None)
        result.append(item)
    if not fitting:
        raise ManifestError(
            f"{path}: none of its {len(rows)} lines fits a video.",
            "`video` is a file's name, with or without its ending; `identity` is the name of its reference.",
        )
    return result


def unique(items: list[Item], source: Path) -> list[Item]:
    """The items, if no id stands twice; raises ManifestError otherwise, naming the videos of the first that does."""
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        videos = ", ".join(item.video.name for item in items if item.id == twice[0])
        raise ManifestError(
            f"{source}: the id {twice[0]!r} stands more than once ({videos}).",
            "Give every video its own name (the ending does not count), or every line of a manifest its own id.",
        )
    return items


def _csv_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause.strerror}.", "Give the path of a CSV file.") from cause
    except UnicodeDecodeError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause}.", "Give a CSV file in UTF-8.") from cause


def _images(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(find_pictures(folder).found))


def _identity_of(relative: Path, identities: tuple[str, ...]) -> str | None:
    for part in reversed(relative.parts[:-1]):
        if part in identities:
            return part
    name = relative.name
    fitting = [i for i in identities if re.match(rf"{re.escape(i)}(?![A-Za-z0-9])", name)]
    return max(fitting, key=len) if fitting else None
