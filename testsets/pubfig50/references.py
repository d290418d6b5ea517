"""Get an identity's reference pictures: PubFig's by address, with dead ones replaced by the next, or the user's own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ManifestError, MediaError, MMBenchError, ReferenceFaceError, machine_fault
from mmbench.files import sha256_file
from mmbench.names import PathFinder
from mmbench.tables import read_table
from mmbench.testsets.pictures import crop_face, decode, fit, save_png
from mmbench.testsets.pubfig50.picture_list import Box, Entry
from mmbench.weights.http import Limits, UnknownHost, download

if TYPE_CHECKING:
    from PIL.Image import Image

HasFace = Callable[[NDArray[np.uint8]], bool]
"""Whether a face is seen in a picture, uint8 RGB (H, W, 3); called from several threads."""

COLUMNS = ("identity", "file", "person", "image", "url", "md5", "sha256", "box", "source", "licence")
"""Columns of `references.csv`, and of a user's manifest of own pictures (identity and file are required there)."""

PICTURE = Limits(max_bytes=8_000_000, plain_http=True, total_seconds=30, connect_seconds=8, read_seconds=10, attempts=1)
"""PubFig's addresses are plain http; md5 and the decoder guard the content."""


@dataclass(frozen=True)
class CropRule:
    """`min_face`, `max_tries`, `margin`, `min_crop` as `identities.yaml` explains them."""

    min_face: int
    max_tries: int
    margin: float
    min_crop: int


@dataclass(frozen=True)
class ReferenceLine:
    """One line of `references.csv`: where a committed crop comes from."""

    identity: str
    file: str
    person: str = ""
    image: str = ""
    url: str = ""
    md5: str = ""
    sha256: str = ""
    box: str = ""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Attempt:
    """One picture tried: its PubFig number (0 and the file for one of the user's), and "" or why it was not used."""

    identity: str
    image: int
    url: str
    failure: str


def fetch_references(
    identity: str,
    entries: Sequence[Entry],
    wanted: int,
    rule: CropRule,
    folder: Path,
    limits: Limits = PICTURE,
    has_face: HasFace | None = None,
    dead_hosts: set[str] | None = None,
) -> tuple[list[ReferenceLine], list[Attempt]]:
    """Up to `wanted` crops of one person in `folder/references`, trying `entries` in order until there are enough.

    A picture that is dead, slow, too large, changed (md5), no picture, or does not hold its face box is noted
    and the next one takes its place, so the choice depends only on which addresses live. Downloaded pictures
    stay in `folder/originals` by md5: a second build fetches only what is missing.
    """
    found: list[ReferenceLine] = []
    attempts: list[Attempt] = []
    for entry in entries:
        if len(found) == wanted:
            break
        try:
            data = _original(entry, folder / "originals", limits, dead_hosts if dead_hosts is not None else set())
            crop = crop_face(decode(data, entry.url), entry.box, rule.margin, rule.min_crop, entry.url)
            need_face(crop, entry.url, has_face)
        except MMBenchError as error:
            attempts.append(Attempt(identity, entry.image, entry.url, error.message))
            continue
        except ValueError as error:  # one line's fault, whatever it is, is not the build's
            attempts.append(Attempt(identity, entry.image, entry.url, f"{entry.url}: {error}."))
            continue
        attempts.append(Attempt(identity, entry.image, entry.url, ""))
        name = f"references/{identity}_{len(found) + 1}.png"
        save_png(crop, folder / name)
        found.append(_pubfig_reference(identity, name, entry, folder))
    return found, attempts


def _pubfig_reference(identity: str, name: str, entry: Entry, folder: Path) -> ReferenceLine:
    return ReferenceLine(
        identity=identity,
        file=name,
        person=entry.person,
        image=str(entry.image),
        url=entry.url,
        md5=entry.md5,
        sha256=_sha256(folder / name),
        box=",".join(map(str, entry.box)),
        source="PubFig v1.2",
        licence="non-commercial use; the picture belongs to its owner",
    )


def _original(entry: Entry, folder: Path, limits: Limits, dead_hosts: set[str]) -> bytes:
    kept = folder / entry.md5
    if not kept.is_file():
        host = urlsplit(entry.url).hostname or ""
        if host in dead_hosts:
            raise UnknownHost(f"{entry.url}: the host {host} is not known.", "Nothing: the next is used.")
        try:
            download(entry.url, kept, limits)
        except UnknownHost as error:
            dead_hosts.add(error.host or host)  # after a redirect not the host of this address
            raise
    data = kept.read_bytes()
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != entry.md5:
        kept.unlink()
        raise MediaError(f"{entry.url}: changed (md5 {digest}, PubFig says {entry.md5}).", "Nothing: the next is used.")
    return data


def read_own(path: Path) -> dict[str, list[ReferenceLine]]:
    """A user's manifest of own pictures by identity.

    CSV with `identity` and `file` (relative to the manifest), optionally `box` (left,top,right,bottom of the face),
    `source` and `licence`.

    Raises ManifestError for a missing column, an empty cell or a missing file.
    """
    table = read_table(path, COLUMNS)
    if not table.lines or not {"identity", "file"} <= set(table.columns):
        raise ManifestError(f"{path}: needs the columns identity and file.", f"Known: {', '.join(COLUMNS)}.")
    if unknown := set(table.columns) - set(COLUMNS):
        raise ManifestError(f"{path}: unknown columns {sorted(unknown)}.", f"Known: {', '.join(COLUMNS)}.")
    finder = PathFinder(path.parent)
    own: dict[str, list[ReferenceLine]] = {}
    for line in table.lines:
        cells = {name: line.name(name) for name in table.columns}
        file = finder.find(cells["file"])
        if not cells["identity"] or not os.path.isfile(file):  # noqa: PTH113 (a name no system takes is no file)
            where = f"{path}, line {line.number}"
            raise ManifestError(f"{where}: no identity, or no file {cells['file'][:80]!r}.", "Mend the line.")
        cells["file"] = str(file)
        own.setdefault(cells["identity"], []).append(ReferenceLine(**cells))
    return own


def need_face(crop: Image, where: str, has_face: HasFace | None) -> None:
    """Raise ReferenceFaceError where `has_face` is given and sees none in `crop`."""
    if has_face is not None and not has_face(np.asarray(crop)):
        raise ReferenceFaceError(f"{where}: no face is found in the crop.", "Use another picture.")


def take_own(
    identity: str,
    own: Sequence[ReferenceLine],
    wanted: int,
    rule: CropRule,
    folder: Path,
    has_face: HasFace | None = None,
) -> tuple[list[ReferenceLine], list[Attempt]]:
    """Copy up to `wanted` of the user's pictures into the set, cropped where a box is given.

    A file that is no usable picture or cannot be read, one without a face, and a box that is no box are noted, and the
    next picture takes the place.
    """
    taken: list[ReferenceLine] = []
    attempts: list[Attempt] = []
    for reference in own:
        if len(taken) == wanted:
            break
        source = Path(reference.file)
        try:
            crop = _own_crop(source, reference, rule, has_face)
        except (MMBenchError, OSError, ValueError) as error:  # one picture's fault is not the build's
            if (machine := machine_fault(error, reference.file)) is not None:
                raise machine from error
            failure = error.message if isinstance(error, MMBenchError) else f"{reference.file}: {error}."
            attempts.append(Attempt(identity, 0, reference.file, failure))
            continue
        attempts.append(Attempt(identity, 0, reference.file, ""))
        name = f"references/{identity}_{len(taken) + 1}.png"
        save_png(crop, folder / name)
        taken.append(
            ReferenceLine(
                identity=identity,
                file=name,
                sha256=_sha256(folder / name),
                box=reference.box,
                source=reference.source or source.name,
                licence=reference.licence,
            )
        )
    return taken, attempts


def _own_crop(source: Path, reference: ReferenceLine, rule: CropRule, has_face: HasFace | None) -> Image:
    image = decode(source.read_bytes(), reference.file)
    if reference.box:
        crop = crop_face(image, _box(reference), rule.margin, rule.min_crop, reference.file)
    else:
        crop = fit(image, rule.min_crop, reference.file)
    need_face(crop, reference.file, has_face)
    return crop


def _box(reference: ReferenceLine) -> Box:
    numbers = reference.box.split(",")
    if len(numbers) != 4 or not all(re.fullmatch("[0-9]{1,6}", n.strip()) for n in numbers):
        raise ManifestError(f"{reference.file}: {reference.box!r} is no box.", "Write left,top,right,bottom in pixels.")
    left, top, right, bottom = (int(number) for number in numbers)
    return (left, top, right, bottom)


def _sha256(path: Path) -> str:
    return sha256_file(path)
