"""Which names are taken for videos, pictures and folders of frames, in every folder that is looked through."""

from __future__ import annotations

from pathlib import Path

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".webp")
"""A file that is named in a manifest is known by its first bytes instead, whatever its ending."""
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
ANIMATED = (".gif", ".webp")
"""Kinds that may hold one picture or many."""


def is_video(path: Path) -> bool:
    """Whether a name ends as a video's."""
    return path.suffix.lower() in VIDEO_ENDINGS


def is_picture(path: Path) -> bool:
    """Whether a name ends as a picture's."""
    return path.suffix.lower() in PICTURE_ENDINGS


def is_frame_folder(folder: Path) -> bool:
    """Whether a folder holds pictures and nothing else; with animated kinds among them it is a folder of videos.

    Hidden files do not count.
    """
    files = [child for child in folder.iterdir() if not child.name.startswith(".")]
    if not files or not all(child.is_file() and is_picture(child) for child in files):
        return False
    return not any(child.suffix.lower() in ANIMATED for child in files)


def is_clip(path: Path) -> bool:
    """Whether what lies in a folder is a clip: a file named like a video, or a folder of frames; nothing hidden."""
    if path.name.startswith("."):
        return False
    return is_frame_folder(path) if path.is_dir() else is_video(path)
