"""Statistics of a finding, its figure and its page, from rows made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.errors import RequestError
from mmbench.studies.validity.catalogue import EXPERIMENTS
from mmbench.studies.validity.figure import draw
from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Grid,
    Number,
    Observation,
    Panel,
    deviation,
    gap,
    mean_at,
    slope,
    spearman,
)
from mmbench.studies.validity.levels import QUICK
from mmbench.studies.validity.page import markdown, write_page
from mmbench.studies.validity.record import pack, unpack
from mmbench.studies.validity.runner import redraw, run_validity

PEOPLE = ("a", "b", "c")


def rows(*values: float, metric: str = "m") -> tuple[Observation, ...]:
    """Each value at its level, for three people a little apart."""
    return tuple(
        Observation(person, "s", float(level), metric, value + 0.01 * k)
        for k, person in enumerate(PEOPLE)
        for level, value in enumerate(values)
    )


def finding(claim: bool = True) -> Finding:
    curve = Curve("a < b & c", rows(1, 2, 3), 1)
    return Finding(
        name="toy",
        title="A toy",
        how="Made by hand.",
        panels=(
            Panel("Left", "x", "y", (curve, Curve("truth", rows(1, 2, 3), truth=True))),
            Panel("Right", "x", "y", (curve,), scatter=True),
        ),
        numbers=(Number("a number", 0.5, 0.25, 0.75), Number("none", float("nan"))),
        claims=(Claim("It rises.", claim),),
        conclusion="Conclude nothing.",
    )


def test_rising_values_have_rho_one_and_their_own_slope() -> None:
    assert spearman("", rows(1, 2, 4)).value == pytest.approx(1)
    assert spearman("", rows(4, 2, 1)).value == pytest.approx(-1)
    assert slope("", rows(1, 3, 5)).value == pytest.approx(2)
    assert gap("", rows(1, 3, 7), 0.0, 2.0).value == pytest.approx(6)
    assert mean_at(rows(1, 3, 7), 1.0) == pytest.approx(3.01)
    assert deviation("", rows(5)).value == pytest.approx(0.01)


def test_a_cause_with_two_signs_counts_by_its_size() -> None:
    both = tuple(Observation("a", "s", level, "m", abs(level)) for level in (-2.0, -1.0, 0.0, 1.0, 2.0))
    assert spearman("", both, magnitude=True).value == pytest.approx(1)
    assert slope("", both, magnitude=True).value == pytest.approx(1)


def test_the_interval_is_over_people_not_over_measurements() -> None:
    spread = tuple(
        Observation(p, "s", float(x), "m", s * x) for p, s in (("a", 1.0), ("b", 2.0), ("c", 3.0)) for x in range(50)
    )
    found = slope("", spread)
    assert found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 4.303 / np.sqrt(3), rel=1e-3)  # t of 3 people, deviation 1


def test_values_that_never_change_have_no_rank_correlation() -> None:
    flat = tuple(Observation(p, "s", float(x), "m", 1.0) for p in PEOPLE for x in range(4))
    assert np.isnan(spearman("", flat).value)
    assert spearman("", flat).text() == "–"


def test_figures_are_equal_for_equal_findings_and_keep_text_as_text() -> None:
    first, second = draw(finding()), draw(finding())
    assert first == second
    text = "".join(ElementTree.fromstring(first).itertext())
    assert "a < b & c" in text and "Left" in text
    assert draw(finding(), "png").startswith(b"\x89PNG")


def test_a_table_is_drawn_with_signs_and_gaps() -> None:
    grid = Grid("Table", ("one", "two"), ("1", "2"), ((3.2, -41.0), (None, 0.2)))
    table = Finding("grid", "Grid", "", (), (), (), "", (grid,))
    text = list(ElementTree.fromstring(draw(table)).itertext())
    assert {"+3", "−41", "–", "0"} <= {part.strip() for part in text}


def test_the_page_says_which_claims_hold(tmp_path: Path) -> None:
    page, figures = write_page(tmp_path, [finding(), finding(claim=False)], QUICK)
    text = page.read_text(encoding="utf-8")
    assert "1 of 2 claims hold" in text
    assert "- holds: It rises." in text and "- **does not hold**: It rises." in text
    assert "| a number | 0.500 (0.250 to 0.750) |" in text and "| none | – |" in text
    assert all(f"({figure.name})" in text and figure.stat().st_size > 1000 for figure in figures)


def test_the_page_names_every_experiment() -> None:
    assert markdown([finding()], QUICK).count("## A toy") == 1


def test_an_unknown_experiment_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="decay"):
        run_validity(tmp_path, only=["nonsense"])
    assert isinstance(CliRunner().invoke(app, ["validity", "--only", "nonsense"]).exception, RequestError)


def test_nothing_to_draw_again_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"validity\.json"):
        redraw(tmp_path)


def test_measurements_survive_the_record() -> None:
    given = [*rows(1 / 3, 2, 3), Observation("d", "t", 0.5, "n", -1.0, x=12.0)]
    back = unpack(pack(given))
    assert sorted(map(repr, back)) == sorted(
        repr(Observation(r.person, r.series, r.level, r.metric, float(f"{r.value:.6g}"), r.x)) for r in given
    )
    with pytest.raises(ValueError, match="not finite"):
        pack([Observation("a", "s", 0.0, "m", float("nan"))])


def test_the_committed_page_is_what_its_record_says(tmp_path: Path) -> None:
    """Figures apart (fonts differ between machines): numbers and claims follow from the committed measurements."""
    committed = Path(__file__).resolve().parents[3] / "reports" / "validity"
    data = tmp_path / "validity.json"
    data.write_bytes((committed / "validity.json").read_bytes())
    done = redraw(tmp_path)
    assert [f.name for f in done.findings] == list(EXPERIMENTS)
    known = json.loads(data.read_text(encoding="utf-8"))["experiments"]
    for found in done.findings:
        assert {c.text: c.holds for c in found.claims} == known[found.name]["claims"]
    assert done.page.read_text(encoding="utf-8") == (committed / "validity.md").read_text(encoding="utf-8")
