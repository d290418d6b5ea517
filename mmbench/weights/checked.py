"""Paths of weight files for libraries that open files themselves, their digests checked first, once a process."""

from __future__ import annotations

from pathlib import Path

from mmbench.files import sha256_file
from mmbench.weights.cache import check_digest
from mmbench.weights.locate import is_user_file, name_in_use, path
from mmbench.weights.registry import find

_DIGESTS: dict[tuple[Path, int, int], str] = {}


def checked(name: str, digests: dict[str, str]) -> str:
    """Path of a registered file whose digest fits the registry; the digest is noted under the file's name.

    Raises MissingWeights or WeightsError. A file of the user's own choice is taken as it is, and noted as such.
    """
    entry = find(name)
    file = path(entry)
    stat = file.stat()
    key = (file, stat.st_size, stat.st_mtime_ns)
    if key not in _DIGESTS:
        _DIGESTS[key] = sha256_file(file)
    if not is_user_file(entry):
        check_digest(_DIGESTS[key], entry, str(file))
    digests[name_in_use(entry, file, _DIGESTS[key], Path(entry.location).name)] = _DIGESTS[key]
    return str(file)
