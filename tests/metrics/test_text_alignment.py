from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmbench.encode.needs import VIDEO_TEXT
from mmbench.encode.viclip.alignment import VideoTextPass, make_viclip
from mmbench.items import Item
from mmbench.metrics.base import Evidence, NoEvidence
from mmbench.metrics.text_alignment import TextAlignment, alignment
from mmbench.trigger import without_trigger
from mmbench.video.clip import ClipInfo


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    clip = ClipInfo(Path("a.mp4"), 8, 32, 32, 8.0, "container", 8.0, False, "0" * 64)
    video_pass = VideoTextPass(make_viclip(tiny=True))
    video_pass.start(clip)
    for index, frame in enumerate(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)):
        video_pass.feed(index, frame)
    item = Item("a", "m", "i", Path("a.mp4"), prompt="a man img waves", prompt_long="he waves " * 40)
    return Evidence(item, clip, {VIDEO_TEXT: video_pass.finish()})


def test_cosine_of_features_of_any_length():
    assert alignment(np.array([2.0, 0]), np.array([3.0, 0])).cosine == pytest.approx(1)
    assert alignment(np.array([1.0, 1]), np.array([0, 0.5])).cosine == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize("bad", [[0.0, 0.0], [math.nan, 1.0]])
def test_a_feature_without_direction_is_refused(bad):
    with pytest.raises(ValueError, match="no direction"):
        alignment(np.array(bad), np.array([1.0, 0]))


@pytest.mark.parametrize(
    ("prompt", "clean"),
    [
        ("a man img walks", "a man walks"),
        ("img, a woman", "a woman"),
        ("imgs of a timg", "imgs of a timg"),
        ("an img-free page", "an img-free page"),
        ("a dog", "a dog"),
    ],
)
def test_the_trigger_word_goes_and_nothing_else(prompt, clean):
    assert without_trigger(prompt) == clean


def test_the_short_prompt_is_the_default_and_truncation_is_reported(evidence):
    (short,) = TextAlignment().measure(evidence)
    assert short.details["prompt"] == "a man waves" and short.details["truncated"] is False
    assert short.value is not None and -1 <= short.value <= 1
    assert short.provenance is not None and short.provenance.random_weights
    (long,) = TextAlignment(prompt="long").measure(evidence)
    assert long.details["truncated"] is True and long.details["dropped"] == 50
    seen = evidence[VIDEO_TEXT]
    expected = float(seen.video @ seen.encoder.text("a man waves").feature)
    assert short.value == pytest.approx(expected, abs=1e-6)


def test_without_a_prompt_or_a_clip_the_score_is_missing(evidence):
    (score,) = TextAlignment().measure(replace(evidence, item=replace(evidence.item, prompt=None)))
    assert score.status == "missing" and "short prompt" in score.reason
    with pytest.raises(NoEvidence):
        TextAlignment().measure(replace(evidence, found={}))
    assert score.status == "missing"


def test_states_merge():
    first, second = TextAlignment(), TextAlignment()
    first.update(np.array([1.0, 0]), np.array([1.0, 0]))
    second.update(np.array([1.0, 0]), np.array([0, 1.0]))
    first.merge_state(second)
    assert first.compute() == pytest.approx(0.5)
