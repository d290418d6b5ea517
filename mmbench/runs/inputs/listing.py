"""The clips and pictures of a folder as `video` lists them, with what was passed over in a few words."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.names import few, readable
from mmbench.remote.path import path_of
from mmbench.remote.schemes import is_url
from mmbench.video.endings import VIDEO_ENDINGS
from mmbench.video.listing import Listing, PassedOver, find_clips


def find_videos(folder: Path) -> list[Path]:
    """Video files and folders of frames below `folder`, in sorted order. Raises ManifestError where it is no folder."""
    return list(list_clips(folder).found)


def list_clips(folder: Path, without: Path | None = None) -> Listing:
    """The clips below `folder` and what was passed over; `without`, a folder of references, is not looked into.

    Raises ManifestError where `folder` is none.
    """
    if is_url(folder):
        said = f"{path_of(folder)}: folders of remote storage are not listed."
        raise ManifestError(said, "Name the videos in a manifest: mmbench evaluate --manifest CSV.")
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ManifestError(f"{folder}: {what}.", "Give the folder that holds the videos.")
    listing = find_clips(folder)
    if without is None or not without.is_dir():
        return listing
    inside = _real(without)

    def outside(path: Path) -> bool:
        return not _real(path).is_relative_to(inside) or _real(folder).is_relative_to(inside)

    return Listing(
        tuple(path for path in listing.found if outside(path)),
        tuple(each for each in listing.passed_over if outside(each.path)),
    )


def _real(path: Path) -> Path:
    """Where a path leads, links followed; unlike `Path.resolve` a link to itself, which leads nowhere, is no error."""
    return Path(os.path.realpath(path))


def passed_over(folder: Path, several: Iterable[PassedOver]) -> list[str]:
    """A note for each reason: which files, by name, or how many of one ending."""
    reasons: dict[str, list[Path]] = defaultdict(list)
    for each in several:
        reasons[each.reason.replace(f"{folder}/", "")].append(each.path.relative_to(folder))
    notes = []
    for reason, paths in reasons.items():
        endings: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            endings[path.suffix.lower()].append(path.as_posix())
        said = [
            f"{len(names)} files {readable(ending)}" if len(names) > 3 and ending else few(names)
            for ending, names in endings.items()
        ]
        notes.append(f"passed over in {readable(folder.name)}: {few(said, 12)} ({readable(reason)})")
    return notes


def no_video(folder: Path, notes: Iterable[str]) -> ManifestError:
    """The error of a folder without a clip, with what lies there instead."""
    seen = "".join(f" ({note})" for note in notes)
    return ManifestError(
        f"{folder}: no video found{seen}.", f"Known endings: {', '.join(VIDEO_ENDINGS)}, or folders of images."
    )
