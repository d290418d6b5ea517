"""Success rates against hand cases."""

from __future__ import annotations

import pytest

from mmbench.config import EvaluateSettings, SuccessSettings
from mmbench.errors import MMBenchError
from mmbench.metrics.success_rates import SuccessRates
from mmbench.runs.evaluate.clip import make_metrics
from mmbench.scores import Provenance, Score

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


def test_a_score_says_its_limits_and_inputs_and_other_limits_are_another_variant() -> None:
    strict = SuccessSettings(text_alignment_min=0.3)
    usual, changed = derive(GOOD)["success_text"], derive(GOOD, strict)["success_text"]
    assert usual.details["inputs"] == {"text_alignment": 0.25}
    assert usual.details["limits"]["text_alignment_min"] == 0.2 and usual.details["variant"] == ""
    assert changed.details["variant"] == "text_alignment_min 0.3"


def test_the_reason_and_remedy_of_a_missing_input_are_handed_on() -> None:
    scores = {name: Score.ok(name, value) for name, value in GOOD.items()}
    scores["text_alignment"] = Score.missing("text_alignment", "No weights.", "Get them.")
    derived = {score.metric: score for score in SuccessRates().derive(scores)}
    for name in ("success_text", "success_average"):
        assert "No weights" in derived[name].reason and derived[name].remedy == "Get them."


def test_a_run_of_success_rates_measures_what_they_are_made_of() -> None:
    names = {metric.facts.name for metric in make_metrics(EvaluateSettings(metrics=("success_rates",))).values()}
    assert {"success_average", "dynamic_degree", "motion_smoothness", "text_alignment", "face_rate"} <= names
    assert "id_similarity" in names, "its companion id_rank1 is the identity check"
    with pytest.raises(MMBenchError, match="id_nope"):
        make_metrics(EvaluateSettings(success=SuccessSettings(identity_metric="id_nope")))


def test_an_untrained_input_marks_what_is_made_of_it() -> None:
    trained, random = Provenance("dis"), Provenance("viclip", random_weights=True)
    scores = {name: Score.ok(name, value, trained) for name, value in GOOD.items()}
    scores["text_alignment"] = Score.ok("text_alignment", 0.25, random)
    derived = {score.metric: score.provenance for score in SuccessRates().derive(scores)}
    assert derived["success_motion"] == trained
    assert derived["success_text"] is not None and derived["success_text"].random_weights
    assert derived["success_average"] is not None and derived["success_average"].random_weights
    assert derived["success_average"].backend == "dis+viclip"
