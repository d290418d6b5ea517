"""Measuring the clips that came finds numbers that were written by hand, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.runs.submit.check import Checked, check
from mmbench.runs.submit.measure import measure
from tests.runs.submit.board import Made, lines_of, rewrite


def test_honest_numbers_are_seen_again(made: Made, tmp_path: Path) -> None:
    found = measure(check(made.pack(tmp_path / "sent"), made.rules), made.rules)
    assert found.clips == 2 * made.rules.clips
    assert found.numbers > 5 * found.clips
    assert (found.differences, found.lacking) == ((), ())


def test_a_number_written_by_hand_is_found(made: Made, tmp_path: Path) -> None:
    sent = made.pack(tmp_path / "sent")
    lines = lines_of(sent)
    forged = []
    for line in lines:
        if line["kind"] == "item":
            (score,) = (one for one in line["scores"] if one["metric"] == "motion_smoothness")
            score["value"] *= 0.9
            if (sent / line["item"]["video"]).exists():
                forged.append(line["item"]["id"])
    rewrite(sent, lines)
    checked = check(sent, made.rules)
    assert checked.sound  # by its digests alone it holds
    found = measure(checked, made.rules)
    assert sorted(one.clip for one in found.differences) == sorted(forged)
    assert {one.metric for one in found.differences} == {"motion_smoothness"}


def test_a_reason_in_place_of_a_number_is_found(made: Made, tmp_path: Path) -> None:
    sent = made.pack(tmp_path / "sent")
    lines = lines_of(sent)
    for line in lines:
        if line["kind"] == "item":
            (score,) = (one for one in line["scores"] if one["metric"] == "motion_smoothness")
            score |= {"status": "missing", "value": None, "reason": "no motion"}
    rewrite(sent, lines)
    found = measure(check(sent, made.rules), made.rules)
    assert {(one.metric, one.said) for one in found.differences} == {("motion_smoothness", "no motion")}


def test_what_does_not_hold_is_not_measured(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="with faults"):
        measure(Checked(tmp_path, faults=("a fault",)), made.rules)
