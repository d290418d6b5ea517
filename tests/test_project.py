"""What the repository says of itself outside the code: bounds, versions, workflows, and the places it names."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import mmbench

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))


def project() -> dict[str, Any]:
    document: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return document


def test_every_requirement_has_a_lower_bound_and_no_upper_one() -> None:
    """`tox run -e oldest` installs these bounds: a requirement without one would not be tested at its oldest.

    Only diffusers has an upper one: its 1.0 is announced to drop parts that wrappers stand on.
    """
    extras = project()["optional-dependencies"]
    tested = [project()["dependencies"], *(extras[name] for name in ("generate", "synth", "insightface", "test"))]
    for requirement in (line for lines in tested for line in lines):
        upper = ",<1" if requirement.startswith("diffusers") else ""
        assert re.fullmatch(rf"[\w.-]+(\[[\w,-]+\])?>=[\d.]+{upper}", requirement), requirement


def test_the_changelog_has_this_version_and_what_comes() -> None:
    headings = re.findall(r"^## (\S+)(?: - \d{4}-\d{2}-\d{2})?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == mmbench.__version__


def test_no_other_file_repeats_the_version() -> None:
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_environments_that_are_there(workflow: Path) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    known = {name.removeprefix("testenv:") for name in tox.sections()} | {"py311", "py313"}
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    named = []
    for job in jobs.values():
        for step in filter(None, (step.get("run") for step in job["steps"])):
            (environment,) = re.findall(r"tox run -e (.+)$", step)
            matrix = job.get("strategy", {}).get("matrix", {}).get("include", [])
            named += [row["environment"] for row in matrix] if "matrix" in environment else [environment]
    assert named
    assert set(named) <= known


@pytest.mark.parametrize("page", ["SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md"])
def test_places_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    quoted = re.findall(r"`((?:mmbench|baselines|testsets|reports|tests)/[\w./-]*)`", text)
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [name for name in quoted + linked if not (ROOT / name).exists()]
    assert not missing
