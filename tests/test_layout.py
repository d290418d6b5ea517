"""The shape of the code: imports go one way, files stay readable, nothing heavy is imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

EYES = {"weights", "video", "face", "flow", "encode"}
GROUND = {"errors", "items", "score", "config"}
# What each part may import of ours, besides itself.
ALLOWED = {
    **dict.fromkeys(EYES, GROUND | EYES),
    "metrics": GROUND | EYES,
    "model": GROUND | EYES,
    "synth": GROUND | EYES,
    "baselines": GROUND | {"weights", "model"},
    "testsets": GROUND | EYES | {"synth"},
    "published": GROUND,
    "runs": GROUND | EYES | {"metrics", "baselines", "testsets"},
    "reports": GROUND | EYES | {"metrics", "runs", "published"},
    "validity": GROUND | EYES | {"metrics", "runs", "reports", "synth", "testsets"},
}


def sources() -> list[Path]:
    folders = ("mmbench", "baselines", "testsets", "reports")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def part_of(path: Path) -> str:
    """The part of mmbench a source file belongs to ("" for the package's own few modules)."""
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "reports":
        return "published"
    if relative.parts[0] != "mmbench":
        return relative.parts[0]
    return relative.parts[1].removesuffix(".py") if len(relative.parts) > 2 else ""


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of every import of ours, also inside functions; type-checking imports are not followed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" if node.module == "mmbench" else node.module for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "mmbench" and len(parts) > 1:
                yield node.lineno, parts[1]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    if part in ("", "cli"):
        return
    known = ALLOWED[part] | {part}
    wrong = [(line, name) for line, name in imported_parts(path) if name not in known and name != "__version__"]
    assert not wrong, f"{path.relative_to(ROOT)} belongs to {part!r} and imports {wrong}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_importing_the_package_and_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("torch", "scipy", "matplotlib", "pandas", "transformers", "diffusers", "av", "cv2", "dlib", "pydantic")
    code = f"import sys, mmbench, mmbench.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_is_called_utils() -> None:
    assert not [p for p in sources() if p.stem in {"utils", "util", "helpers", "common", "misc"}]
