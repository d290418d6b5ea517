"""One file out of a zip archive: by name, bounded, never outside the target, never a link."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from mmbench.errors import WeightsError

_BLOCK = 1 << 20


def extract_member(archive: Path, member: str, target: Path, max_bytes: int) -> None:
    """Write the archive's `member` to `target`, a new file, which is removed again where that fails.

    `member` is a path in the archive; where no such path exists, the only entry with the same file name is
    taken, because repacked archives move files between folders. Raises WeightsError: no zip, no or several
    such members, an encrypted entry or a link, a damaged one, or more than `max_bytes` unpacked.
    """
    again = f"Delete {archive} and get it again."
    try:
        with zipfile.ZipFile(archive) as box:
            info = _choose(box, archive, member)
            if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16):
                raise WeightsError(f"{archive}: {info.filename} is encrypted or a link.", again)
            target.parent.mkdir(parents=True, exist_ok=True)
            written = 0
            with box.open(info) as source, target.open("wb") as sink:
                while block := source.read(_BLOCK):
                    written += len(block)
                    if written > max_bytes:
                        raise WeightsError(f"{archive}: {info.filename} unpacks to more than {max_bytes} bytes.", again)
                    sink.write(block)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)):
            raise WeightsError(f"{archive} is damaged or no zip archive: {error}.", again) from error
        raise


def _choose(box: zipfile.ZipFile, archive: Path, member: str) -> zipfile.ZipInfo:
    files = [info for info in box.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    exact = [info for info in files if info.filename == member]
    named = [info for info in files if PurePosixPath(info.filename).name == PurePosixPath(member).name]
    found = exact or named
    if len(found) != 1:
        raise WeightsError(
            f"{archive} holds {len(found)} files called {member}.",
            f"It holds: {[info.filename for info in files][:12]}.",
        )
    return found[0]
