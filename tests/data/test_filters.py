"""The filters' arithmetic by hand examples and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.data import filters
from mmbench.data.encode import barred, cropped
from mmbench.data.filters import _MODEL
from mmbench.data.settings import TEXT_WORDS, ClipBounds
from mmbench.data.sources.pairs import chosen
from mmbench.data.stages import class_word
from mmbench.data.types import Candidate, FaceNote, ReferenceNote, packed, unpacked
from mmbench.flow.make import make_flow
from mmbench.trigger import marked_word


@given(
    st.floats(-60, 60),
    st.floats(-40, 40),
    st.floats(-30, 30),
    st.floats(0.1, 20),
    st.tuples(st.floats(0, 999), st.floats(0, 999)),
)
def test_pose_of_the_average_head_is_its_turn(
    yaw: float, pitch: float, roll: float, scale: float, place: tuple[float, float]
) -> None:
    y, p, r = np.radians([yaw, pitch, roll])
    about_down = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_right = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    in_plane = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    forward = in_plane @ about_down @ about_right @ np.array([0, 0, 1])
    points = scale * (_MODEL @ (in_plane @ about_down @ about_right).T)[:, :2] + np.array(place)
    found = filters.pose(points)
    assert found[0] == pytest.approx(np.degrees(np.arctan2(forward[0], forward[2])), abs=1e-3)
    assert found[1] == pytest.approx(np.degrees(np.arctan2(forward[1], np.hypot(forward[0], forward[2]))), abs=1e-3)


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("a man below the word SALE", "word"),
        ("a woman, with watermarks", "watermarks"),
        ("A poster with Text on it, a boy", "text"),
        ("a woman designs a textile", ""),
        ("a man signing a contract", ""),
        ("a man at a stop sign", "sign"),
    ],
)
def test_words_of_writing(caption: str, word: str) -> None:
    assert filters.text_word(caption, TEXT_WORDS) == word


@given(st.sampled_from(["a woman smiles", "the old man, who waves", "A boy.", "two kids and a girl img run"]))
def test_the_trigger_follows_the_first_word_for_a_person(caption: str) -> None:
    found = filters.marked(caption)
    assert found is not None
    mark = marked_word(found)
    assert mark is not None
    assert mark.word.lower() in ("woman", "man", "boy", "girl")


@pytest.mark.parametrize("caption", ["a red car", "two women", "", "img"])
def test_no_word_for_one_person(caption: str) -> None:
    assert filters.marked(caption) is None


@given(st.integers(1, 60), st.sampled_from([8.0, 12.0, 24.0, 25.0, 29.97, 30.0, 60.0]), st.integers(0, 40))
def test_frames_of_a_shot_rise_and_stay_in_it(count: int, rate: float, first: int) -> None:
    times = np.arange(400) / rate
    numbers = filters.frames_at(times, first, 300, count, 8.0)
    assert list(numbers) == sorted(set(numbers))
    assert numbers[0] == first
    assert numbers[-1] < 300
    np.testing.assert_allclose(times[list(numbers)] - times[first], np.arange(len(numbers)) / 8, atol=0.5 / rate + 1e-9)
    if (300 - first) / rate >= count / 8:
        assert len(numbers) == count


def test_a_clip_of_too_few_frames_a_second_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 8"):
        filters.frames_at(np.arange(100) / 5, 0, 100, 20, 8.0)


def test_shots_lie_between_cuts() -> None:
    assert filters.shots([1, 40, 1, 1, 30], 27) == [(0, 2), (2, 5), (5, 6)]
    assert filters.shots([], 27) == [(0, 1)]


def test_flow_is_measured_at_240_lines() -> None:
    import cv2

    coarse = np.random.default_rng(0).integers(0, 255, (18, 26, 3)).astype(np.uint8)
    wall = np.asarray(cv2.resize(coarse, (720, 480), interpolation=cv2.INTER_CUBIC))
    frames = [np.ascontiguousarray(np.roll(wall, 8 * number, axis=1)) for number in range(3)]
    assert filters.mean_flow(frames, make_flow("dis")) == pytest.approx(4, rel=0.1)
    assert filters.mean_flow(frames[:1] * 3, make_flow("dis")) == pytest.approx(0, abs=0.05)


def test_a_face_in_four_of_five_frames_is_enough() -> None:
    boxes = np.tile(np.array([0, 0, 100, 100], np.float32), (10, 1))
    second = np.zeros(10, np.bool_)
    boxes[:2] = np.nan
    assert filters.track_fault(boxes, second, ClipBounds()) is None
    boxes[2] = np.nan
    assert filters.track_fault(boxes, second, ClipBounds()) == ("face_rate", 0.7)


@given(st.integers(100, 3000), st.integers(100, 3000), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_a_crop_has_the_shape_and_holds_the_face(height: int, width: int, x: float, y: float) -> None:
    centre, half = np.array([x * width, y * height]), 0.05 * min(height, width)
    box = np.array([*(centre - half), *(centre + half)])
    fit = cropped(height, width, box, (480, 720))
    assert fit is not None
    left, top, right, bottom = fit.window
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (right - left) / (bottom - top) == pytest.approx(1.5, rel=0.04)  # whole pixels of a side of 66 or more
    moved = fit.box(box)
    assert moved.min() >= -0.01
    assert moved[2] <= 720.01
    assert moved[3] <= 480.01


def test_a_face_that_fills_a_portrait_is_not_cut() -> None:
    assert cropped(1200, 720, np.array([100, 100, 600, 800]), (480, 720)) is None


def test_black_bars_of_the_paper() -> None:
    fit = barred(1024, 1024, (480, 720))
    made = fit.picture(np.full((1024, 1024, 3), 255, np.uint8))
    assert made.shape == (480, 720, 3)
    assert (made[:, :120] == 0).all()
    assert (made[:, 600:] == 0).all()
    assert (made[:, 120:600] == 255).all()
    np.testing.assert_allclose(fit.points(np.array([[0.0, 0.0], [1024.0, 1024.0]])), [[120, 0], [600, 480]])


def test_prompts_fit_the_gender_and_are_drawn_by_the_key() -> None:
    pool = ["a woman img sings", "a man img reads", "a chef img cooks", "a king img sits"]
    assert set(chosen(pool, "k", 9, 0, "woman")) == {"a woman img sings", "a chef img cooks"}
    assert chosen(pool, "k", 2, 0) == chosen(pool, "k", 2, 0)
    assert len({tuple(chosen(pool, f"k{number}", 2, 0)) for number in range(20)}) > 3


@pytest.mark.parametrize(
    ("age", "gender", "word"),
    [(1, "male", "baby"), (8, "f", "girl"), (13, "m", "boy"), (30, "Woman", "woman"), (70, "m", "man")],
)
def test_class_words(age: float, gender: str, word: str) -> None:
    assert class_word(age, gender) == word


def test_candidates_round_trip() -> None:
    note = FaceNote((1.0, 2.0, 3.0, 4.0), ((1.0, 1.0),) * 5, 0.9)
    row = Candidate("A-1", "x", "y", "clip", "p", (1, 2), "c", "man", note, "t", packed(np.ones(3, np.float32)))
    full = Candidate("A-2", references=(ReferenceNote("f", note, 0.7),), facts={"a": 1})
    assert Candidate.read(row.document()) == row
    assert Candidate.read(full.document()) == full
    np.testing.assert_array_equal(unpacked(row.vector), np.ones(3, np.float32))
