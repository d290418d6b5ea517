from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.items import Item
from mmbench.metrics.base import StoredFeatures
from mmbench.metrics.inception_score import (
    InceptionScore,
    contiguous_scores,
    inception_scores,
    split_score,
)


def one_hot_logs(classes: list[int], n: int = 1008) -> np.ndarray:
    logs = np.full((len(classes), n), -np.inf, np.float32)
    logs[np.arange(len(classes)), classes] = 0
    return logs


def random_clips(n_clips: int, frames: int = 6, classes: int = 40, seed: int = 0) -> list[np.ndarray]:
    """Each clip has its own class distribution, and its frames vary a little around it."""
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(n_clips):
        logits = rng.normal(0, 3, (1, classes)) + rng.normal(0, 0.5, (frames, classes))
        clips.append((logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32))
    return clips


def original(log_probs: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """The published procedure in torch float32: probabilities, their logarithms, sample deviation."""
    probs = torch.exp(torch.from_numpy(log_probs))
    scores = []
    for index in range(splits):
        part = probs[index * len(probs) // splits : (index + 1) * len(probs) // splits]
        kl = part * (part.log() - part.mean(0, keepdim=True).log())
        scores.append(kl.sum(1).mean().exp())
    stacked = torch.stack(scores)
    return stacked.mean().item(), stacked.std().item()


def test_uniform_predictions_score_one():
    assert split_score(np.full((7, 1008), -np.log(1008), np.float32)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_k_certain_balanced_classes_score_k_and_zero_probabilities_are_no_problem(k):
    assert split_score(one_hot_logs(list(range(k)) * 5)) == pytest.approx(k)


def test_equal_to_the_published_procedure_given_the_order():
    rows = np.concatenate(random_clips(20))
    value, std = original(rows)
    scores = contiguous_scores(rows)
    assert np.mean(scores) == pytest.approx(value, rel=1e-6)
    assert np.std(scores, ddof=1) == pytest.approx(std, rel=1e-4)


@pytest.mark.parametrize("n", [10, 19, 101, 980])
def test_splits_cover_all_rows_once(n):
    rows = one_hot_logs([index % 5 for index in range(n)], 5)
    assert len(contiguous_scores(rows)) == 10
    sizes = [(i + 1) * n // 10 - i * n // 10 for i in range(10)]
    assert sum(sizes) == n and max(sizes) - min(sizes) <= 1


def test_the_order_of_clips_matters_and_the_companions_show_it():
    clips = [one_hot_logs([index // 4] * 5, 10) for index in range(40)]  # sorted by class
    result = inception_scores(clips)
    assert result.value == pytest.approx(1)
    assert result.one_split == pytest.approx(10)
    assert 2 < result.shuffled < 4.5
    assert inception_scores(clips) == result


def test_a_split_cannot_score_above_its_number_of_distinct_predictions():
    result = inception_scores([one_hot_logs([index] * 3) for index in range(40)])
    assert result.value == pytest.approx(4) and result.one_split == pytest.approx(40)


def stored(clips: list[np.ndarray]) -> list[StoredFeatures]:
    return [
        StoredFeatures(Item(str(index), "m", "i", Path("a.mp4")), {"log_probs": clip})
        for index, clip in enumerate(clips)
    ]


def test_set_scores_name_order_and_warn_when_few():
    main, shuffled, one = InceptionScore().measure_set(stored(random_clips(20)))
    assert main.details["order"] == "manifest" and len(main.details["per_split"]) == 10
    assert "few" in main.details["warning"] and main.details["n_frames"] == 120
    assert (shuffled.metric, one.metric) == ("is_shuffled", "is_one_split")
    assert one.value is not None and main.value is not None and one.value > main.value


def test_fewer_than_ten_clips_are_refused():
    scores = InceptionScore().measure_set(stored(random_clips(9)))
    assert {score.status for score in scores} == {"missing"}
    metric = InceptionScore()
    for clip in random_clips(9):
        metric.update(clip)
    with pytest.raises(ValueError, match="at least 10 clips"):
        metric.compute()


def test_states_merge_in_order():
    clips = random_clips(50)
    whole, first, second = InceptionScore(), InceptionScore(), InceptionScore()
    for index, clip in enumerate(clips):
        whole.update(clip)
        (first if index < 20 else second).update(clip)
    first.merge_state(second)
    assert first.compute() == pytest.approx(whole.compute())


def test_beside_torchmetrics_the_order_is_the_difference():
    """With the same logits torchmetrics' score equals ours in one split, and exceeds it in ten: it shuffles frames."""
    from torchmetrics.image.inception import InceptionScore as Torchmetrics

    clips = random_clips(20, frames=10)

    class Logits(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows

    values = {}
    for splits in (1, 10):
        theirs = Torchmetrics(feature=Logits(), splits=splits)
        theirs.inception.num_features = 40
        torch.manual_seed(0)
        for clip in clips:
            theirs.update(torch.from_numpy(clip))
        values[splits] = theirs.compute()[0].item()
    ours = inception_scores(clips)
    assert values[1] == pytest.approx(ours.one_split, rel=1e-5)
    assert values[10] > 1.3 * ours.value
