"""Files that are not of the kind their entry names are not kept; others are called unchecked where they are."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.errors import WeightsError
from mmbench.weights.cache import cached_file
from mmbench.weights.content import strange
from mmbench.weights.download import get
from mmbench.weights.locate import name_in_use
from mmbench.weights.registry import WeightFile


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as box:
        box.writestr("a", b"x" * 1000)
    return stream.getvalue()


def tensors() -> bytes:
    from safetensors.torch import save

    return save({"a": torch.zeros(3, 5)})


def pickled(new: bool) -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


PAGE = b"\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
ONNX = b"\x08\x08\x12\x07pytorch:" + bytes(100)


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        ("torch", pickled(True), "a.pth"),
        ("torch", pickled(False), "a.ckpt"),
        ("torch", tensors(), "a.safetensors"),
        ("safetensors", tensors(), "a.safetensors"),
        ("archive", zipped(), "a.zip"),
        ("onnx", ONNX, "a.onnx"),
        ("dlib", b"\x01\x01\x02" + bytes(range(256)), "a.dat"),
        ("data", b'{"a": 1}', "a.json"),
        ("data", b"#version: 0.2\na b\n", "merges.txt"),
        ("data", b"\x0a\x0e\x0a", "spiece.model"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,  # of bodies that differ from process to process
)
def test_what_is_right_is_kept_and_nothing_else_is(tmp_path: Path, kind: str, body: bytes, name: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(body)
    assert strange(file, kind, name) == ""
    wrong = [b"", PAGE, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"]
    if kind != "data":
        wrong += [json.dumps({"error": "Repository not found"}).encode()]
    if kind == "archive" or kind == "safetensors" or body.startswith(b"PK"):
        wrong += [body[:-30], body[: len(body) // 2]]
    for other in wrong:
        file.write_bytes(other)
        assert strange(file, kind, name), other[:20]


def test_a_page_in_the_place_of_weights_is_not_kept(server, served, cache: Path) -> None:
    server.files["/net.pth"] = served(PAGE)
    entry = WeightFile(name="net", kind="torch", licence="MIT", urls=(f"{server.url}/net.pth",))
    with pytest.raises(WeightsError, match=r"is not net: it is a web page.* It was not kept"):
        get(entry)
    assert not cached_file(entry).exists()


def test_what_nothing_is_published_of_is_called_unchecked(server, served, monkeypatch: pytest.MonkeyPatch) -> None:
    body = pickled(True)
    server.files["/net.pth"] = served(body)
    entry = WeightFile(name="net", kind="torch", licence="MIT", urls=(f"{server.url}/net.pth",))
    module = sys.modules["mmbench.weights.registry"]  # the package has a function of that name
    monkeypatch.setattr(module, "registry", lambda: {"net": entry})
    monkeypatch.setattr(module, "groups", dict)
    said = CliRunner().invoke(app, ["weights", "get", "net"])
    assert said.exit_code == 0, said.output
    assert "not checked: no digest of it is published" in said.output
    assert name_in_use(entry, cached_file(entry), "00") == "net (not checked)"
