"""Official output clips of two published systems: the numbers land where the paper's do, and order as it does."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.items import read_manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(showcase: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluateResult:
    metrics = ("dynamic_degree", "id_similarity", "similarity_decay", "fm_ref", "fm_inter", "face_rate")
    settings = EvaluateSettings(metrics=metrics, flow=FlowSettings(backend="dis"))
    return evaluate(read_manifest(showcase / "manifest.csv"), tmp_path_factory.mktemp("showcase"), settings, workers=2)


def of(measured: EvaluateResult, model: str, metric: str) -> float:
    """Mean of a metric over a model's clips."""
    scores = [row.score(metric) for row in measured.rows if row.item.model == model]
    return mean(score.value for score in scores if score is not None and score.value is not None)


def test_every_clip_is_measured(measured: EvaluateResult) -> None:
    assert measured.complete
    assert len(measured.rows) == 9


@pytest.mark.parametrize("model", ["magic-mirror", "id-animator"])
def test_identity_is_on_the_papers_scale(measured: EvaluateResult, model: str) -> None:
    assert 0.89 <= of(measured, model, "id_similarity") <= 0.93
    assert of(measured, model, "face_rate") > 0.9


def test_magic_mirror_moves_more(measured: EvaluateResult) -> None:
    assert of(measured, "magic-mirror", "fm_inter") >= 2 * of(measured, "id-animator", "fm_inter")
    assert of(measured, "magic-mirror", "dynamic_degree") > of(measured, "id-animator", "dynamic_degree")
