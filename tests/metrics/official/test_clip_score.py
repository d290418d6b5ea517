from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmbench.config import EvaluateSettings
from mmbench.metrics.official.clip_score import clip_score
from mmbench.runs.memory.scorer import Scorer


def test_the_mean_of_scaled_cosines() -> None:
    result = clip_score(np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]), np.array([5.0, 0.0]))
    assert result.per_frame == pytest.approx((100, 0, -100))
    assert result.value == pytest.approx(0)
    with pytest.raises(ValueError, match="direction"):
        clip_score(np.zeros((1, 2)), np.ones(2))


def test_tiny_networks_on_the_same_path() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (20, 60, 90, 3), dtype=np.uint8)
    scorer = Scorer(("clip_score", "aesthetic"), EvaluateSettings(random_weights=True))
    found = scorer(frames, prompt="a man walks", fps=8)
    assert {score.status for score in found.values()} == {"ok"}
    assert len(found["clip_score"].details["per_frame"]) == 16
    assert len(found["aesthetic"].details["per_frame"]) == 32
    turned = scorer(np.ascontiguousarray(frames[..., ::-1]), prompt="a man walks", fps=8)
    assert turned["clip_score"].value == pytest.approx(found["clip_score_bgr"].value, abs=1e-4)
    assert found["clip_score"].value != pytest.approx(found["clip_score_bgr"].value, abs=1e-4)
    assert 0 <= found["aesthetic_opens2v"].value <= 1
    alone = scorer(frames, references=[Image.fromarray(frames[0])], fps=8)
    assert alone["clip_score"].status == alone["clip_score_bgr"].status == "missing"
    assert alone["aesthetic"].status == "ok", "it reads no prompt"
