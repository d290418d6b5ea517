"""Whether a file's bytes are of the kind its entry names: what is left to check where no digest is published."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from mmbench.weights.registry import Kind

_HEAD = 4096
_PAGE = re.compile(rb"^\s*(<!doctype|<html|<\?xml|<head|<body|<!--)", re.IGNORECASE)
_MAX_HEADER = 100_000_000
_ONNX_TAGS = {(number << 3) | wire for number in (1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25) for wire in (0, 2)}
"""First bytes of a protobuf message with ONNX's fields of a model, as far as they fit one byte."""


def strange(path: Path, kind: Kind, name: str = "") -> str:
    """What is wrong with a file of `kind` ("it is a web page", "it is no zip archive"); "" where nothing is seen.

    `name` is what the file is called at its source: its ending tells small files of data apart. Whether the numbers in
    a file are the right ones is beyond this.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        return "it is empty"
    if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "it is a web page"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself"
    ending = Path(name).suffix.lower()
    if kind == "safetensors" or ending == ".safetensors":
        return _safetensors(path, size)
    if kind == "data":
        return _data(path, ending)
    if _is_text(head):
        return "it is a text"
    if kind == "archive" or head.startswith(b"PK\x03\x04"):
        return "" if zipfile.is_zipfile(path) else "it is no whole zip archive"
    if kind == "torch":
        return "" if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" else "it is neither a zip nor a pickle"
    if kind == "onnx":
        return "" if head[0] in _ONNX_TAGS else "it is no ONNX model"
    return ""


def _safetensors(path: Path, size: int) -> str:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            return "it is no safetensors file"
        try:
            header = json.loads(stream.read(length))
            ends = [facts["data_offsets"][1] for key, facts in header.items() if key != "__metadata__"]
            whole = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return "it is no safetensors file"
    return "" if whole == size else f"its header speaks of {whole} bytes, it has {size}"


def _data(path: Path, ending: str) -> str:
    if ending != ".json":
        return ""
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "it is no JSON"
    return ""


def _is_text(head: bytes) -> bool:
    return len(head) >= 16 and not re.search(rb"[^\t\n\r\x20-\x7e]", head)
