"""PubFig's own lists of pictures: tab-separated person, image number, address, face box, md5."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mmbench.errors import ManifestError

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the picture."""

_MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class Entry:
    """One line of a list."""

    person: str
    image: int
    url: str
    box: Box
    md5: str

    @property
    def face(self) -> int:
        """Shorter side of the face box, pixels."""
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)


def read_list(path: Path) -> tuple[list[Entry], list[str]]:
    """Entries of `dev_urls.txt` or `eval_urls.txt` (v1.2), and a note for each line that cannot be used.

    Raises ManifestError when the file is no such list: nothing usable in it, binary, or larger than 50 MB.
    """
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise ManifestError(
            f"{path}: no such file, or larger than 50 MB.", "Give PubFig's dev_urls.txt or eval_urls.txt."
        )
    entries, notes = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        entry = _entry(line)
        if entry is None:
            notes.append(f"{path.name}, line {number}: not person, image number, url, box, md5")
        else:
            entries.append(entry)
    if not entries:
        raise ManifestError(f"{path}: no line is person, image number, url, box, md5.", "Give PubFig's list, v1.2.")
    return entries, notes


def _entry(line: str) -> Entry | None:
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) != 5:
        return None
    person, image, url, box, md5 = (cell.strip() for cell in cells)
    md5 = md5.lower()
    numbers = re.fullmatch(",".join([r"(-?[0-9]{1,6})"] * 4), box)
    if not (re.fullmatch("[0-9]{1,9}", image) and numbers and re.fullmatch("[0-9a-f]{32}", md5) and _is_address(url)):
        return None
    left, top, right, bottom = (int(value) for value in numbers.groups())
    return Entry(person, int(image), url, (left, top, right, bottom), md5) if left < right and top < bottom else None


def _is_address(url: str) -> bool:
    """Whether an address can be asked at all: http or https, a host, a port that is one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and not re.search(r"[\s\x00-\x1f]", url)


def candidates(entries: list[Entry], person: str, min_face: int, max_tries: int) -> list[Entry]:
    """A person's pictures in the order they are tried: by image number, faces of `min_face` pixels and more.

    Names are compared without case, accents and punctuation. Of two entries with one image number the first counts.
    """
    wanted = _plain(person)
    fitting: dict[int, Entry] = {}
    for entry in entries:
        if _plain(entry.person) == wanted and entry.face >= min_face:
            fitting.setdefault(entry.image, entry)
    return [fitting[number] for number in sorted(fitting)][:max_tries]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", name).lower())
