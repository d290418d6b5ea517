from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mmbench.flow.flow_pass import FlowPass
from mmbench.flow.make import make_flow
from mmbench.flow.needs import SMOOTH_FLOW
from mmbench.flow.smoothness import SmoothnessTerm
from mmbench.items import Item
from mmbench.metrics.base import Evidence
from mmbench.metrics.motion_smoothness import MotionSmoothness, smoothness
from mmbench.video.clip import ClipInfo


def evidence(offsets: list[float], mode: str = "full") -> Evidence:
    """A textured wall seen through a 96x96 window at the given horizontal offsets, in px."""
    import cv2

    field = np.random.default_rng(0).uniform(0, 255, (96, 400, 3)).astype(np.float32)
    field = cv2.normalize(cv2.GaussianBlur(field, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
    frames = [
        cv2.warpAffine(field, np.float32([[1, 0, -offset - 50], [0, 1, 0]]), (96, 96)).astype(np.uint8)
        for offset in offsets
    ]
    clip = ClipInfo(Path("a.mp4"), len(frames), 96, 96, 8.0, "container", 8.0, False, "0" * 64)
    flow_pass = FlowPass(make_flow("dis"), mode, want_smoothness=mode == "full")
    flow_pass.start(clip)
    for index, frame in enumerate(frames):
        flow_pass.feed(index, frame)
    return Evidence(Item("a", "m", "i", Path("a.mp4")), clip, {SMOOTH_FLOW: flow_pass.finish()})


def value(offsets: list[float]) -> float:
    score = MotionSmoothness().measure(evidence(offsets))[0]
    assert score.value is not None
    return score.value


def test_the_mean_skips_terms_without_valid_pixels():
    terms = [SmoothnessTerm(0.2, 0.01, 0.9), SmoothnessTerm(math.nan, math.nan, 0.0), SmoothnessTerm(0.4, 0.03, 0.6)]
    result = smoothness(terms)
    assert result is not None
    assert (result.value, result.acceleration) == (pytest.approx(0.3), pytest.approx(0.02))
    assert (result.valid, result.terms) == (pytest.approx(0.5), 2)
    assert smoothness([]) is None and smoothness(terms[1:2]) is None


def test_constant_velocity_is_smooth_and_stop_and_go_is_not():
    constant = value([3.0 * t for t in range(8)])
    broken = value([0, 0, 6, 6, 12, 12, 18, 18])
    assert constant < 0.15
    assert broken > 0.8
    assert constant < value([0, 2, 8, 9, 14, 16, 22, 23]) < broken


def test_being_still_is_not_rewarded_against_moving_smoothly():
    assert value([0.0] * 5) == pytest.approx(0, abs=0.05)


def test_details_flag_a_broken_cadence():
    score, acceleration = MotionSmoothness().measure(evidence([0, 0, 6, 6, 12, 12]))
    assert "repeated frames" in score.details["remark"] and len(score.details["ratios"]) == 4
    assert acceleration.status == "ok" and acceleration.metric == "flow_acceleration"


@pytest.mark.parametrize(
    ("offsets", "mode", "reason"),
    [([0, 3], "full", "three sampled frames"), ([0, 3, 6, 9], "early", "early mode")],
)
def test_missing_with_a_reason(offsets, mode, reason):
    scores = MotionSmoothness().measure(evidence(offsets, mode))
    assert [score.status for score in scores] == ["missing", "missing"]
    assert reason in scores[0].reason


def test_states_merge():
    first, second = MotionSmoothness(), MotionSmoothness()
    first.update([SmoothnessTerm(0.2, 0, 1)])
    second.update([SmoothnessTerm(0.6, 0, 1)])
    first.merge_state(second)
    assert first.compute() == pytest.approx(0.4)
