"""Every part of diffusers that a model takes is there, and none of them is on its way out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (ROOT / "baselines", ROOT / "mmbench" / "model")


def taken(source: str) -> set[tuple[str, str]]:
    """Modules of diffusers and the names taken from them, inside functions and for type checking too."""
    return {
        (node.module, name.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "diffusers"
        for name in node.names
    }


def outgoing(module: str, name: str) -> str:
    """Why a part is on its way out; "" where it is not."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        part = getattr(importlib.import_module(module), name)
        part = inspect.unwrap(part) if callable(part) else part
    said = [str(one.message) for one in told if name in str(one.message) and "deprecated" in str(one.message)]
    bases = [base.__name__ for base in getattr(part, "__mro__", ())]
    if "DeprecatedPipelineMixin" in bases:
        said.append("a deprecated pipeline")
    if re.search(r"\bdeprecated\b", getattr(part, "__module__", None) or ""):
        said.append(f"lies in {part.__module__}")
    return "; ".join(said)


PARTS = sorted({part for room in ROOMS for path in room.rglob("*.py") for part in taken(path.read_text("utf-8"))})


def test_parts_are_found():
    assert ("diffusers", "UNet3DConditionModel") in PARTS and len(PARTS) > 20


@pytest.mark.parametrize(("module", "name"), PARTS)
def test_no_part_is_on_its_way_out(module, name):
    pytest.importorskip("diffusers")
    assert not outgoing(module, name), f"{module}.{name}: keep a copy of our own, or bound diffusers below its end"


def test_a_part_on_its_way_out_is_noticed():
    pytest.importorskip("diffusers")
    assert "deprecated" in outgoing("diffusers", "TextToVideoSDPipeline")


def test_diffusers_is_bounded_above():
    """Its 1.0 is announced to drop what is deprecated: a model's wrapper is checked against it before it is let in."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["generate"]
    assert any(re.fullmatch(r"diffusers>=[\d.]+,<1", one) for one in wanted)
