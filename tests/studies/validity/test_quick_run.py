"""The whole of `mmbench validity --quick`: rendered, measured, written, resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmbench.studies.validity.catalogue import EXPERIMENTS
from mmbench.studies.validity.runner import Validity, run_validity
from mmbench.synth.control import Cast

pytestmark = pytest.mark.slow

# What two people and the quick run's few levels are enough to decide (its three angles of yaw cannot give a rank
# correlation above 0.9); the committed page decides the rest with seven people and all levels.
FIRM = (
    "id_similarity falls",
    "A complete stranger still scores",
    "similarity_decay rises",
    "A turn of 45 degrees moves fm_ref at least three times",
    "fm_inter rises",
    "A camera alone moves fm_inter",
    "fm_inter_local is moved by less",
    "Motion smoothness rises with the share of held frames in an even pan",
    "FMinter depends on the clip's length",
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def done(cast: Cast, work: Path) -> Validity:
    return run_validity(work / "out", quick=True, work=work)


def test_every_experiment_is_on_the_page(done: Validity) -> None:
    text = done.page.read_text(encoding="utf-8")
    assert [finding.name for finding in done.findings] == list(EXPERIMENTS)
    assert all(f"{name}.svg" in text for name in EXPERIMENTS)


def test_firm_claims_hold(done: Validity) -> None:
    claims = {claim.text: claim.holds for finding in done.findings for claim in finding.claims}
    for start in FIRM:
        (holds,) = [value for text, value in claims.items() if text.startswith(start)]
        assert holds, start


def test_the_data_is_plain_json_without_nan(done: Validity) -> None:
    data = json.loads(done.data.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(name))
    assert {need: each["backend"] for need, each in data["backends"].items()} == {
        "faces": "dlib",
        "flow": "dis",
    }
    assert all(each["measurements"] for each in data["experiments"].values())


def test_a_second_run_renders_nothing_and_says_the_same(done: Validity, work: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (work / "takes").rglob("*.npz")}
    told: list[tuple[int, int]] = []
    again = run_validity(
        work / "again",
        only=["motion", "camera"],
        quick=True,
        work=work,
        progress=lambda d, of, what: told.append((d, of)),
    )
    assert {path: path.stat().st_mtime_ns for path in (work / "takes").rglob("*.npz")} == before
    assert [f.conclusion for f in again.findings] == [
        f.conclusion for f in done.findings if f.name in ("motion", "camera")
    ]
    assert told[0] == (0, 4) and told[-1] == (4, 4)
