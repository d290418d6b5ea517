"""Was a file cut short? Read from its own structure, because decoders pass over a missing end in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

GIF_TRAILER = b"\x3b"
EBML_SEGMENT = b"\x18\x53\x80\x67"


def is_complete(path: Path, kind: str) -> bool:
    """Whether the file is as long as its outermost boxes say.

    mov: every top-level box ends within the file (ISO 14496-12). avi, webp: the RIFF chunk does. matroska:
    the Segment does, where its size is known (RFC 8794, a live recording has none). gif: it ends with the
    trailer.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if kind == "gif":
            stream.seek(-min(64, size), os.SEEK_END)
            return stream.read().rstrip(b"\x00\r\n").endswith(GIF_TRAILER)
        if kind in ("avi", "webp"):
            # A last chunk of odd length may lack its byte of padding.
            return 8 + int.from_bytes(stream.read(8)[4:], "little") <= size + 1
        if kind == "matroska":
            return _segment_end(stream) <= size
        return _last_box_end(stream, size) <= size


def _last_box_end(stream: BinaryIO, size: int) -> int:
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not head[4:8].isalnum():  # up to the end of the file, or no box: padding behind the last
            return size
        position += length
    return position


def _segment_end(stream: BinaryIO) -> int:
    """Where the Segment ends; 0 where it is not found or has no known size."""
    head = stream.read(1 << 12)
    position = 4  # behind the id of the EBML header
    length, width = _variable_size(head[position:])
    position += width + (length or 0)
    if head[position : position + 4] != EBML_SEGMENT:
        return 0
    length, width = _variable_size(head[position + 4 :])
    return 0 if length is None else position + 4 + width + length


def _variable_size(data: bytes) -> tuple[int | None, int]:
    """An EBML size: its value (None: unknown) and the bytes it takes."""
    if not data or not data[0]:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
