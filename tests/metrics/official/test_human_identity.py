from __future__ import annotations

import numpy as np
import pytest

from mmbench.metrics.official.human_identity import LEAST, human_identity


def clip(frames: int = 30) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(frames), np.ones(frames)


def test_frames_with_several_faces_are_left_out_and_those_without_any_count_as_alike() -> None:
    faces, cosines = clip()
    cosines[1:4] = 0.39  # somebody else
    faces[4:6], cosines[4:6] = 2, np.nan
    faces[6:10], cosines[6:10] = 0, np.nan
    result = human_identity(faces, cosines)
    assert result is not None
    assert (result.counted, result.empty) == (27, 4)
    assert result.value == pytest.approx(24 / 27)


def test_a_person_who_vanishes_is_perfect() -> None:
    """The original's fault, kept: RetinaFace's package gives a frame without faces one face without a box."""
    faces, cosines = clip()
    faces[1:], cosines[1:] = 0, np.nan
    result = human_identity(faces, cosines)
    assert result is not None and result.value == 1.0


@pytest.mark.parametrize("first", [0, 2])
def test_a_first_frame_without_exactly_one_face_has_no_value(first: int) -> None:
    faces, cosines = clip()
    faces[0], cosines[:] = first, np.nan
    assert human_identity(faces, cosines) is None


def test_twenty_frames_must_count() -> None:
    assert human_identity(*clip(LEAST)) is None
    assert human_identity(*clip(LEAST + 1)) is not None
