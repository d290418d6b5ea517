"""Success rates against hand cases."""

from __future__ import annotations

import pytest

from mmbench.config import SuccessSettings
from mmbench.metrics.success_rates import SuccessRates
from mmbench.score import Provenance, Score

GOOD = {
    "dynamic_degree": 1.0,
    "motion_smoothness": 0.4,
    "text_alignment": 0.25,
    "face_rate": 1.0,
    "id_rank1": 1.0,
}


def derive(values: dict[str, float], limits: SuccessSettings | None = None) -> dict[str, Score]:
    scores = {name: Score.ok(name, value) for name, value in values.items()}
    return {score.metric: score for score in SuccessRates(limits).derive(scores)}


def test_everything_good_passes() -> None:
    assert {score.value for score in derive(GOOD).values()} == {1.0}


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("dynamic_degree", 0.0, "success_motion"),
        ("motion_smoothness", 0.6, "success_motion"),
        ("text_alignment", 0.1, "success_text"),
        ("face_rate", 0.4, "success_face"),
        ("id_rank1", 0.0, "success_identity"),
    ],
)
def test_one_failure_fails_its_check_and_lowers_the_average(name: str, value: float, check: str) -> None:
    scores = derive({**GOOD, name: value})
    assert scores[check].value == 0.0
    assert scores["success_average"].value == 0.75


def test_a_missing_input_makes_its_check_and_the_average_missing() -> None:
    values = {k: v for k, v in GOOD.items() if k != "text_alignment"}
    scores = derive(values)
    assert scores["success_text"].status == "missing"
    assert "text_alignment" in scores["success_text"].reason
    assert scores["success_average"].status == "missing"
    assert scores["success_face"].value == 1.0


def test_limits_are_settings() -> None:
    strict = SuccessSettings(text_alignment_min=0.3)
    assert derive(GOOD, strict)["success_text"].value == 0.0


def test_an_untrained_input_marks_what_is_made_of_it() -> None:
    trained, random = Provenance("dis"), Provenance("viclip", random_weights=True)
    scores = {name: Score.ok(name, value, trained) for name, value in GOOD.items()}
    scores["text_alignment"] = Score.ok("text_alignment", 0.25, random)
    derived = {score.metric: score.provenance for score in SuccessRates().derive(scores)}
    assert derived["success_motion"] == trained
    assert derived["success_text"] is not None and derived["success_text"].random_weights
    assert derived["success_average"] is not None and derived["success_average"].random_weights
    assert derived["success_average"].backend == "dis+viclip"
