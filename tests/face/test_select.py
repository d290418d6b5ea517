from __future__ import annotations

import numpy as np
import pytest

from mmbench.face.select import Linker, has_second_face, is_tiny
from mmbench.face.types import Face


def face(left, top, size, score=1.0):
    box = np.array([left, top, left + size, top + size], np.float32)
    return Face(box, score, np.zeros((5, 2), np.float32), None, box)


def link(per_frame, max_gap=4):
    linker = Linker(max_gap)
    owners = [[track.number for track in linker.add(frame, faces)] for frame, faces in enumerate(per_frame)]
    return linker, owners


def test_a_moving_face_is_one_track():
    linker, _ = link([[face(5 * i, 0, 100)] for i in range(30)])
    assert len(linker.tracks) == 1
    assert list(linker.main().faces) == list(range(30))


def test_two_faces_in_any_order_stay_apart():
    _, owners = link([[face(0, 0, 100), face(300, 0, 80)], [face(302, 0, 80), face(3, 0, 100)]])
    assert owners == [[0, 1], [1, 0]]


def test_the_threshold_is_an_iou_of_three_tenths():
    # Two squares of side 100 shifted by s overlap with IoU (100 - s) / (100 + s): 0.3 at s = 53.8.
    assert len(link([[face(0, 0, 100)], [face(53, 0, 100)]])[0].tracks) == 1
    assert len(link([[face(0, 0, 100)], [face(55, 0, 100)]])[0].tracks) == 2


def test_the_better_overlap_wins():
    _, owners = link([[face(0, 0, 100)], [face(30, 0, 100), face(5, 0, 100)]])
    assert owners[1] == [1, 0]


@pytest.mark.parametrize(("gap", "tracks"), [(4, 1), (5, 2)])
def test_a_track_survives_a_gap_up_to_the_limit(gap, tracks):
    linker, _ = link([[face(0, 0, 100)], *[[]] * (gap - 1), [face(0, 0, 100)]])
    assert len(linker.tracks) == tracks


def test_main_track_has_the_largest_sum_of_area_times_score():
    large_and_short = [[face(0, 0, 100)]] * 2
    small_and_long = [[face(300, 300, 60)]] * 6
    assert link(large_and_short + small_and_long)[0].main().number == 1  # 2 x 10000 < 6 x 3600
    sure = [[face(0, 0, 100, score=1.2)]] * 2
    assert link(sure + small_and_long)[0].main().number == 0  # 24000 > 21600


def test_no_face_no_main_track():
    assert link([[], []])[0].main() is None


def test_of_equal_tracks_the_earlier_is_main():
    assert link([[face(0, 0, 100), face(300, 0, 100)]])[0].main().number == 0


@pytest.mark.parametrize(
    ("size", "frame", "tiny"),
    [(31, (640, 480), True), (32, (640, 480), False), (39, (1000, 2000), True), (40, (1000, 2000), False)],
)
def test_tiny_is_under_32_pixels_or_4_percent_of_the_short_side(size, frame, tiny):
    assert is_tiny(face(0, 0, size).box, *frame) == tiny


@pytest.mark.parametrize(("size", "second"), [(70, False), (71, True), (200, True)])
def test_a_second_face_has_at_least_half_the_area(size, second):
    main = face(0, 0, 100)
    assert has_second_face(main, [main, face(300, 0, size)]) == second
    assert not has_second_face(main, [main])
