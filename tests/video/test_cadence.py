from __future__ import annotations

import numpy as np
import pytest

from mmbench.video.cadence import CadencePass, near_duplicate_share


def run(frames):
    cadence = CadencePass()
    cadence.start(None)
    for index, frame in enumerate(frames):
        cadence.feed(index, frame)
    return cadence.finish()


def test_even_motion_is_not_warned_about(frames):
    assert run(frames) == ()


@pytest.mark.parametrize("repeats", [2, 3, 4])
def test_a_clip_raised_to_a_higher_rate_is(repeats, frames):
    warnings = run([frame for frame in frames for _ in range(repeats)])
    assert len(warnings) == 1
    assert warnings[0].startswith("cadence:")


def test_step_double_step_duplicate(frames):
    """The showcase GIFs' pattern: 3k, 3k+1, 3k+3 shown as three frames and the last one twice."""
    assert run([frames[i] for k in range(6) for i in (3 * k, 3 * k + 1, 3 * k + 1)])


def test_noisy_duplicates_are_seen_through(frames):
    rng = np.random.default_rng(0)
    doubled = [frame for frame in frames for _ in range(2)]
    noisy = [(frame.astype(int) + rng.integers(-6, 7, frame.shape)).clip(0, 255).astype(np.uint8) for frame in doubled]
    assert run(noisy)


def test_a_still_clip_has_no_cadence(frames):
    rng = np.random.default_rng(0)
    assert run([frames[0]] * 20) == ()
    assert run([(frames[0] // 2 + rng.integers(0, 3, frames[0].shape)).astype(np.uint8) for _ in range(20)]) == ()


def test_a_pause_is_not_a_duplicate(frames):
    assert run([*frames, *[frames[-1]] * 20, *frames[::-1]]) == ()


@pytest.mark.parametrize(
    ("differences", "share"),
    [
        ([], 0),
        ([5, 0], 0),
        ([5, 5, 5, 5], 0),
        ([5, 0, 5, 0], 0.5),
        ([5, 10, 0] * 4, 1 / 3),
        ([0.1, 0, 0.1, 0], 0),
    ],
)
def test_share(differences, share):
    assert near_duplicate_share(np.array(differences, float)) == pytest.approx(share)


def test_scale_of_the_picture_hardly_matters(frames):
    large = [frame.repeat(3, 0).repeat(3, 1) for frame in frames for _ in range(2)]
    small = [frame for frame in frames for _ in range(2)]
    assert run(large) == run(small)


def test_tiny_and_flat_frames():
    assert run([np.full((1, 1, 3), 40 * i, np.uint8) for i in range(5)]) == ()
    assert run([np.full((2, 500, 3), 40 * i, np.uint8) for i in range(5)]) == ()
