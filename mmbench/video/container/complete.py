"""Was a file cut short? Read from its own structure, because decoders pass over a missing end in silence."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

TS_PACKETS = (188, 192)
"""Bytes of a transport stream's packet, without and with a time stamp before it."""
EBML_SEGMENT = b"\x18\x53\x80\x67"


def is_complete(path: Path, kind: str) -> bool:
    """Whether the file is as long as its outermost boxes say.

    mov: every top-level box ends within the file (ISO 14496-12). avi, webp: the RIFF chunk does. matroska:
    the Segment does, where its size is known (RFC 8794, a live recording has none). gif: it ends behind a whole
    frame; the trailer's one byte may lack. mpegts: its packets are whole. mpeg: it ends with the end code, or behind a
    whole packet.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if kind == "gif":
            return _gif_is_whole(stream)
        if kind == "mpegts":
            return any(size % length == 0 for length in TS_PACKETS)
        if kind == "mpeg":
            return _mpeg_is_whole(stream, size)
        if kind in ("avi", "webp"):
            # A last chunk of odd length may lack its byte of padding.
            return 8 + int.from_bytes(stream.read(8)[4:], "little") <= size + 1
        if kind == "matroska":
            return _segment_end(stream) <= size
        return _last_box_end(stream, size) <= size


def _gif_is_whole(stream: BinaryIO) -> bool:
    """Walk the blocks of GIF89a: whole where at least one frame ends, and nothing has begun behind the last of them."""
    stream.seek(6)
    stream.seek(_table(stream.read(7)[4:5]), 1)
    whole = False
    while (kind := stream.read(1)) not in (b"", b"\x00"):
        if kind == b";":
            return True
        whole = False
        if kind == b"!":
            name = stream.read(1)
            if not _skip_blocks(stream):
                return False
            # A comment or a name of a program may end a file; what a frame opens with may not.
            whole = name != b"\xf9"
        elif kind == b",":
            stream.seek(_table(stream.read(9)[8:9]) + 1, 1)
            if not _skip_blocks(stream):
                return False
            whole = True
        else:
            return False
    return whole


def _table(flags: bytes) -> int:
    """Bytes of the colour table that a packed field announces."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _skip_blocks(stream: BinaryIO) -> bool:
    """Pass over a chain of sub-blocks; False where the file ends before its terminator."""
    while length := stream.read(1):
        if length == b"\x00":
            return True
        stream.seek(length[0], 1)
    return False


def _mpeg_is_whole(stream: BinaryIO, size: int) -> bool:
    """Whether a program stream's packets end where the file does (ISO 13818-1, 2.5): each says its length."""
    position = 0
    while position < size:
        stream.seek(position)
        head = stream.read(14)
        if not head.startswith(b"\x00\x00\x01"[: len(head)]):  # padding, or something that only the decoder can judge
            return True
        if len(head) < 4:
            return False
        if head[3] == 0xB9:  # the end code
            position += 4
        elif head[3] == 0xBA:  # a pack header: 12 bytes in MPEG-1, 14 and stuffing in MPEG-2
            if len(head) < 12:
                return False
            position += 12 if head[4] >> 6 != 1 else 14 + (head[13] & 7 if len(head) > 13 else 0)
        else:
            if len(head) < 6:
                return False
            position += 6 + int.from_bytes(head[4:6], "big")
    return position == size


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
