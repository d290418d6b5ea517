"""Photographs in the place of clips, and what the page of other benchmarks' columns says of them."""

from __future__ import annotations

import numpy as np
import pytest

from mmbench.metrics.fm_inter import align_affine, fm_inter
from mmbench.studies.validity.adversaries import ADVERSARIES, PASTED, PLACED, pasted, placed
from mmbench.studies.validity.experiments import official, pose
from mmbench.studies.validity.finding import Observation
from mmbench.studies.validity.levels import QUICK
from mmbench.synth.control import Cast
from mmbench.synth.identity import Group
from mmbench.synth.motion import Motion as MotionKind


def photo() -> np.ndarray:
    import cv2

    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (200, 160, 3), dtype=np.uint8), (0, 0), 5)


def test_every_photograph_is_a_clip_of_the_size_asked_for() -> None:
    made = dict(placed(photo(), (96, 128), 9))
    assert tuple(made) == PLACED and (*PLACED, PASTED) == ADVERSARIES
    for name, clip in made.items():
        assert clip.shape == (9, 96, 128, 3) and clip.dtype == np.uint8
        moves = float(np.abs(clip[2].astype(int) - clip[0]).mean())
        assert (moves == 0) == (name in ("photo static", "photo mirrored")), name
    static, mirrored = made["photo static"][0], made["photo mirrored"][0]
    inside = np.s_[10:-10, 10:-10]
    assert np.abs(static[inside].astype(int) - mirrored[:, ::-1][inside]).mean() < 8
    np.testing.assert_array_equal(made["photo squeezed"][0], static)
    np.testing.assert_array_equal(made["photo panned"][0], static)


def test_the_pasted_face_is_where_the_faces_are() -> None:
    frames = np.zeros((3, 100, 120, 3), np.uint8)
    faces = np.array([[20, 20, 60, 60], [40, 30, 80, 70], [np.nan] * 4])
    made = pasted(np.full((50, 50, 3), 200, np.uint8), np.array([10, 10, 40, 40]), frames, faces)
    for frame, (left, top, right, bottom) in zip(made[:2], faces[:2].astype(int), strict=True):
        assert (frame[(top + bottom) // 2, (left + right) // 2] == 200).all()
        assert frame[0, 0].max() == frame[-1, -1].max() == 0
    assert not made[2].any() and not frames.any()


def test_flat_pictures_have_no_affine_free_motion() -> None:
    """What a squeezed, sheared or panned photograph does to five points, whatever the points are."""
    points = np.random.default_rng(1).normal(0, 10, (5, 2)) + [[-20, -20], [20, -20], [0, 0], [-15, 25], [15, 25]]
    squeezed = points * [0.75, 1.0]
    np.testing.assert_allclose(align_affine(squeezed, points), points, atol=1e-9)
    result = fm_inter(np.stack([points, squeezed, points]), 100)
    assert result is not None and result.local > 0.1 > 1e-6 > result.affine_free


def rows() -> list[Observation]:
    """Two people; face_rate knows everything, motion_amplitude nothing, human_identity is not there for one clip."""
    made = []
    for person in ("a", "b"):
        for system in ("truth", *official.SYSTEMS):
            for column, sign in official.COLUMNS.items():
                if (column, system, person) == ("human_identity (dlib)", "vanish", "a"):
                    continue
                right = 1.0 if system == "truth" else 0.0
                value = right if column == "face_rate" else 1.0 if column == "motion_amplitude" else 1 - right
                made.append(Observation(person, system, 0.0, column, sign * value))
    return made


def test_verdicts_count_people() -> None:
    given = rows()
    assert official.verdict(given, "face_rate", "vanish") == 100
    assert official.verdict(given, "motion_amplitude", "vanish") == 0
    assert official.verdict(given, "copy_angle", "vanish") == -100
    assert official.verdict(given, "human_identity (dlib)", "vanish") == -100, "one person is enough"
    assert official.verdict([row for row in given if row.series != "still"], "face_rate", "still") is None


def test_the_finding_names_what_each_column_ranks_wrongly_and_what_is_missing() -> None:
    finding = official.conclude(rows(), QUICK)
    assert all(name in finding.how for name in official.MISSING)
    assert "human_identity (dlib) does not put below the person who acts: still" in finding.conclusion
    (grid,) = finding.grids
    assert grid.rows == official.SYSTEMS and len(grid.cells) == len(official.SYSTEMS)
    assert {len(line) for line in grid.cells} == {len(grid.columns)}
    claims = {claim.text: claim.holds for claim in finding.claims}
    assert claims["Every clip that is not the person acting is put below by one of ours in most people."]
    assert not claims["FaceSim's rule tells a stranger."]


@pytest.mark.parametrize("yaw, name", [(0, "front"), (-14.9, "front"), (15, "turned"), (-35, "side"), (120, "side")])
def test_bins_of_the_yaw_experiment(yaw: float, name: str) -> None:
    assert pose.bin_of(yaw) == name


def true_points(cast: Cast, group: Group, kind: MotionKind, amplitude: float) -> np.ndarray:
    """The true five points of a performance at the four sampled frames, (4, 5, 2) px."""
    from mmbench.synth.motion import trajectory
    from mmbench.synth.sampling import sample_identity
    from mmbench.synth.scene import camera
    from mmbench.synth.truth import five_points
    from mmbench.synth.views import random_scene

    person = cast.person(sample_identity(cast.kit, group, 0))
    scene = random_scene(np.random.default_rng(5), 256, gentle=True)
    states = trajectory(kind, 24, 0, amplitude)
    seen = []
    for state in (states[index] for index in (0, 8, 15, 23)):
        vertices = person.vertices(state.expression, state.gaze, state.pose)
        shift = np.array([*(part * person.framing[0] for part in state.shift), 0], np.float32)
        seen.append(five_points(camera(person, scene, state, 1).project(person.landmarks(vertices + shift))[0]))
    return np.stack(seen)


@pytest.mark.parametrize("group", ["man", "girl"])
def test_affine_free_motion_keeps_what_people_do_and_drops_what_cameras_do(cast: Cast, group: Group) -> None:
    found = {}
    for kind, amplitude in (("mixed", 0.0), ("mixed", 0.5), ("mixed", 1.0), ("camera-pan", 1.0), ("camera-zoom", 1.0)):
        result = fm_inter(true_points(cast, group, kind, amplitude), 256)
        assert result is not None
        found[kind, amplitude] = result
    assert found["mixed", 0.0].affine_free < 1e-3
    assert 0.1 < found["mixed", 0.5].affine_free < found["mixed", 1.0].affine_free
    assert found["mixed", 1.0].affine_free > 0.8 * found["mixed", 1.0].local
    for kind in ("camera-pan", "camera-zoom"):
        assert found[kind, 1.0].affine_free < 0.2 * found["mixed", 1.0].affine_free


@pytest.mark.parametrize("group", ["woman", "elderly man", "boy"])
def test_yaw_of_rendered_people(cast: Cast, group: Group) -> None:
    from mmbench.face.pose import yaw_of
    from mmbench.synth.person import Pose
    from mmbench.synth.sampling import sample_identity
    from mmbench.synth.scene import State, camera
    from mmbench.synth.truth import five_points
    from mmbench.synth.views import random_scene

    person = cast.person(sample_identity(cast.kit, group, 7))  # none of those the constant was fitted to
    scene = random_scene(np.random.default_rng(5), 256, gentle=True)
    for yaw in (-60, -30, -10, 0, 10, 30, 60):
        for pitch, roll in ((0, 0), (8, 0), (-8, 0), (0, 20)):
            state = State(pose=Pose(yaw, pitch, roll))
            vertices = person.vertices(state.expression, state.gaze, state.pose)
            points = five_points(camera(person, scene, state, 1).project(person.landmarks(vertices))[0])
            assert yaw_of(points) == pytest.approx(yaw, abs=14)
