"""Where items come from: a manifest, or a folder of anyone's videos with references; the public readers of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.items import Item, is_picture
from mmbench.remote.path import path_of
from mmbench.runs.inputs.collection import Collection
from mmbench.runs.inputs.folder import NO_REFERENCES, FolderSource, collect_folder
from mmbench.runs.inputs.listing import find_videos
from mmbench.runs.inputs.manifest import MANIFEST_COLUMNS, collect_manifest
from mmbench.runs.inputs.references import read_references

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MANIFEST_COLUMNS", "find_videos", "read_folder", "read_manifest", "read_references"]


def read_manifest(path: Path | str) -> list[Item]:
    """Items of a manifest (CSV, or a JSON list of objects); paths in it are relative to its folder.

    Columns: `video` and `model` (or `system`) are required. `references` (several separated by ';', or a JSON list) may
    be empty: what needs a face is then missing. Without `identity`, videos with the same references are one identity,
    and one without references is its own. Other columns: see MANIFEST_COLUMNS; `step` too; unknown ones are kept in
    `Item.extra`. Cells are separated by commas, semicolons or tabs; prompts come back exactly as written, names in
    composed Unicode without blanks around them; whole numbers may be written 42.0, rates 30000/1001. Files need not
    exist yet: a missing video becomes a row with its error. Python warns of whatever was overruled or passed over.
    A video or picture may be a URL of remote storage (`mmbench.remote`), the manifest too.
    Raises ManifestError naming the line for a missing column, an empty cell, a bad number, more cells than columns, a
    quote that is never closed, a path that no system takes, or a repeated id.

        >>> import mmbench
        >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
        >>> len(items), items[0].model, items[0].identity
        (400, 'truth', 'man-00')
    """
    return collect_manifest(path_of(path)).told()


def read_folder(
    folder: Path | str,
    references: Path | str | Image | None,
    prompts: Path | str | None = None,
    name: str | None = None,
    pattern: str | None = None,
) -> list[Item]:
    """Items of a folder of videos, matched to identities by name.

    references: one image (everything shows that person; PIL's too, whose person is "reference"), or a folder holding
    `<identity>.png` or `<identity>/*.png`. A video belongs to the identity that is one of its parent folders' names, or
    the longest that its file name begins with (followed by a separator or the end). A folder directly under `folder`
    that is not an identity is the name of a model; otherwise the model is `name` or the folder's own name. `pattern`
    says instead what paths mean: `{model}/{identity}_{prompt}_{seed}`. prompts: CSV with `video` (file name or stem) or
    `identity` [and `prompt_index`] and `prompt` [and `prompt_long`], or a map in JSON (`prompts.read_prompts`), which
    may bring the references. Python warns of whatever was passed over, merged or overruled.
    Raises ManifestError when there is no video, no reference, a video fits no identity, or two videos differ only in
    their endings.

        >>> import mmbench
        >>> bundled = mmbench.load_testset("synthetic50").folder
        >>> items = mmbench.read_folder(bundled / "controls" / "drift", bundled / "references")
        >>> len(items), items[0].model, len({item.identity for item in items})
        (50, 'drift', 50)
    """
    shown = references if is_picture(references) else None
    given = None if shown or not references else Path(str(references))
    source = FolderSource(Path(folder), given, Path(prompts) if prompts else None, name, pattern)
    found = collect_folder(source)
    if shown is not None:
        everybody: dict[str, Any] = {"identity": "reference", "references": (shown,)}
        items = tuple(replace(item, **everybody) for item in found.items)
        found = Collection(items, tuple(note for note in found.notes if note != NO_REFERENCES))
    return found.told()
