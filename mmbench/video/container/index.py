"""How many samples a container's index announces: a few bytes can announce billions, each listed in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmbench.errors import MediaError
from mmbench.video.clip import CONVERT

BOXES_INSIDE = frozenset(b"moov hoov trak mdia minf stbl edts dinf udta mvex moof traf wide".split())
"""Boxes whose content is boxes, as FFmpeg reads them."""
MAX_BOXES = 200_000
MAX_DEPTH = 12


@dataclass
class _Track:
    """What one track's index announces."""

    samples: int = 0
    edits: int = 1
    sound: bool = False
    raw: bool = False

    @property
    def listed(self) -> int:
        """Samples that FFmpeg lists one by one: raw sound is kept in chunks, an edit may list all of them again."""
        return 0 if self.sound and self.raw else self.samples * self.edits


def listed_samples(path: Path, kind: str) -> int:
    """Samples in the index of a "mov" or "avi" file, of all tracks; 0 for kinds that are read in passing.

    Raises MediaError for an index that is packed, nested or repeated beyond any use.
    """
    with path.open("rb") as stream:
        size = path.stat().st_size
        if kind == "avi":
            return sum(length // 16 for name, length in _chunks(stream, size) if name == b"idx1")
        return _mov(stream, size, path) if kind == "mov" else 0


def _mov(stream: BinaryIO, size: int, path: Path) -> int:
    tracks = [_Track()]  # the first for what stands in fragments
    number = 0
    for number, (name, start) in enumerate(_boxes(stream, 0, size), start=1):
        if number > MAX_BOXES or name == b"cmov" or name == b"deep":
            what = "packed" if name == b"cmov" else "longer or deeper than any player reads"
            raise MediaError(f"{path}: its index is {what}.", CONVERT)
        track = tracks[-1]
        if name == b"trak":
            tracks.append(_Track())
        elif name == b"hdlr":
            track.sound = track.sound or _read(stream, start + 8, 4) == b"soun"
        elif name == b"stts":
            track.raw = _number(stream, start + 4) == 1 and _number(stream, start + 12) == 1
        elif name in (b"stsz", b"stz2"):
            track.samples += _number(stream, start + 8)
        elif name == b"elst":
            track.edits = max(track.edits, _number(stream, start + 4))
        elif name == b"trun":
            tracks[0].samples += _number(stream, start + 4)
    return sum(track.listed for track in tracks)


def _boxes(stream: BinaryIO, position: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int]]:
    """Names of all boxes in order, those inside others too, and where their content starts (ISO 14496-12, 4.2)."""
    if depth > MAX_DEPTH:
        yield b"deep", position
        return
    while position + 8 <= end:
        head = _read(stream, position, 16)
        if len(head) < 8:
            return
        length, start = int.from_bytes(head[:4], "big"), position + 8
        if length == 1 and len(head) == 16:
            length, start = int.from_bytes(head[8:16], "big"), position + 16
        elif length == 0:
            length = end - position
        if length < start - position:
            return
        yield head[4:8], start
        if head[4:8] == b"meta":  # FFmpeg looks for the handler, and takes it and what follows for boxes
            inside = _read(stream, start, min(length, 1 << 12)).find(b"hdlr")
            if inside >= 4:
                yield from _boxes(stream, start + inside - 4, min(end, position + length), depth + 1)
        if head[4:8] in BOXES_INSIDE:
            yield from _boxes(stream, start, min(end, position + length), depth + 1)
        position += length


def _chunks(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Names and lengths of a RIFF file's outermost chunks, those of the first form and those that follow it."""
    position = 12
    while position + 8 <= size:
        head = _read(stream, position, 8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"RIFF":  # the next part of a large file
            position += 12
            continue
        yield head[:4], min(length, size - position)
        position += 8 + length + length % 2


def _read(stream: BinaryIO, position: int, count: int) -> bytes:
    stream.seek(position)
    return stream.read(count)


def _number(stream: BinaryIO, position: int) -> int:
    return int.from_bytes(_read(stream, position, 4), "big")
