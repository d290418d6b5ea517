"""Which names are taken for videos and pictures, in every folder that is looked through."""

from __future__ import annotations

from pathlib import Path

VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".gif", ".webp"),
)
"""A file that is named in a manifest is known by its first bytes instead, whatever its ending."""
PICTURE_ENDINGS = (*(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"),)
ANIMATED = (".gif", ".webp")
"""Kinds that may hold one picture or many."""


def is_video(path: Path) -> bool:
    """Whether a name ends as a video's."""
    return path.suffix.lower() in VIDEO_ENDINGS


def is_picture(path: Path) -> bool:
    """Whether a name ends as a picture's."""
    return path.suffix.lower() in PICTURE_ENDINGS


def is_litter(path: Path) -> bool:
    """Whether a name is one that systems write by themselves: hidden ones, previews, settings of a folder's window."""
    return path.name.startswith((".", "@eaDir")) or path.name.lower() in ("thumbs.db", "desktop.ini", "__macosx")
