"""Which bytes a weight file has, told without loading it: what a finished number is checked against."""

from __future__ import annotations

from pathlib import Path

from mmbench.files import content_of
from mmbench.weights.cache import cached_file, read_record, user_paths
from mmbench.weights.registry import find


def identity(*names: str) -> tuple[str, str]:
    """Name and sha256 of the file that would be loaded: of several interchangeable ones the first that is here.

    The digest is that of the user's own file where there is one, else the published one (the leading digits, where only
    those are published), else the one written down when the file arrived; empty where nobody knows it. Nothing is
    downloaded or unpacked.
    """
    own = user_paths()
    for name in names:
        if name in own:
            return name, content_of(Path(own[name]))
    for name in names:
        if len(names) == 1 or cached_file(find(name)).is_file():
            return name, _known(name)
    return names[0], _known(names[0])


def _known(name: str) -> str:
    entry = find(name)
    if published := entry.sha256 or entry.sha256_prefix:
        return published
    record = None if entry.package else read_record(cached_file(entry))
    return record.sha256 if record else ""
