"""Exported truth against geometry, against warped pictures, and against closed forms of the metrics."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from mmbench.metrics.fm_inter import fm_inter
from mmbench.synth.clip import clip_truth, render_clip
from mmbench.synth.expression import Expression
from mmbench.synth.motion import MOTIONS, Motion, trajectory, tremble
from mmbench.synth.person import Person, Pose, blend_people, build_person, wear_style
from mmbench.synth.picture import render
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import Backdrop, Scene, State, camera
from mmbench.synth.stage import stage
from mmbench.synth.truth import LABELS, five_points, measure

SCENE = Scene(height=128, width=128, backdrop=Backdrop("garden", 3), grain=0.0)


def bilinear_at(image: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Colours at pixel coordinates (corner origin)."""
    c, r = np.clip(x - 0.5, 0, image.shape[1] - 1.001), np.clip(y - 0.5, 0, image.shape[0] - 1.001)
    i, j = c.astype(int), r.astype(int)
    fx, fy = (c - i)[..., None], (r - j)[..., None]
    wide = image.astype(float)
    return (wide[j, i] * (1 - fx) + wide[j, i + 1] * fx) * (1 - fy) + (
        wide[j + 1, i] * (1 - fx) + wide[j + 1, i + 1] * fx
    ) * fy


@pytest.mark.parametrize("pose", [Pose(), Pose(20, 5, -6)])
def test_visible_landmarks_lie_on_their_triangles(woman: Person, pose: Pose) -> None:
    """Where a landmark (not of the inner lips, which close) is one visible mesh vertex, a triangle of it shows."""
    staged = stage(woman, replace(SCENE, height=256, width=256), State(pose=pose))
    truth = measure(staged)
    index = woman.kit.landmark_index
    single = [k for k in range(27, 60) if len(set(index[k])) == 1 and truth.visible[k]]
    assert len(single) > 25
    hits = 0
    for k in single:
        x, y = truth.landmarks[k].astype(int)
        shown = np.unique(staged.buffer.tri[y - 1 : y + 2, x - 1 : x + 2])
        hits += bool((woman.body.tri[shown[shown >= 0]] == index[k, 0]).any())
    assert hits / len(single) > 0.9  # lid corners may hide behind the eyeball's edge


def test_pose_signs(woman: Person) -> None:
    """yaw > 0 turns the nose to image right, pitch > 0 up, roll > 0 tilts clockwise, shift moves right and up."""
    front = measure(stage(woman, SCENE, State())).five

    def nose(state: State) -> NDArray[np.float32]:
        five = measure(stage(woman, SCENE, state)).five
        return (five[2] - five[[0, 1]].mean(0)) - (front[2] - front[[0, 1]].mean(0))

    assert nose(State(pose=Pose(yaw=20)))[0] > 2
    assert nose(State(pose=Pose(pitch=15)))[1] < -1
    tilted = measure(stage(woman, SCENE, State(pose=Pose(roll=15)))).five
    assert tilted[1, 1] - tilted[0, 1] > 3  # the image-right eye sinks
    moved = measure(stage(woman, SCENE, State(shift=(0.2, 0.1)))).five - front
    assert (moved[:, 0] > 5).all() and (moved[:, 1] < -2).all()


def test_labels_and_depth_agree(woman: Person) -> None:
    truth = measure(stage(woman, SCENE, State()))
    assert ((truth.labels == LABELS.index("background")) == ~np.isfinite(truth.depth)).all()
    for name in ("skin", "hair", "clothes", "left eye", "right eye"):
        assert (truth.labels == LABELS.index(name)).any(), name
    x0, y0, x1, y1 = truth.box
    assert 0 < x0 < x1 < 128 and 0 < y0 < y1 < 128 and truth.inside == 1


@pytest.mark.parametrize("motion", MOTIONS)
def test_flow_carries_the_next_frame_back(woman: Person, motion: Motion) -> None:
    """Warped by the true flow, the next frame equals this one on pixels that stay visible, better than unwarped."""
    frames = list(render_clip(woman, SCENE, trajectory(motion, 24, 3)[8:11], truth=True))
    warped, plain = [], []
    for now, then in pairwise(frames):
        assert now.truth is not None and now.truth.flow is not None and now.truth.occluded is not None
        rows, columns = np.mgrid[0:128, 0:128].astype(np.float32) + 0.5
        back = bilinear_at(then.image, columns + now.truth.flow[..., 0], rows + now.truth.flow[..., 1])
        seen = ~now.truth.occluded
        assert seen.mean() > 0.8
        warped.append(np.abs(back - now.image)[seen].mean())
        plain.append(np.abs(then.image.astype(float) - now.image)[seen].mean())
    assert np.mean(warped) < 4.5
    assert np.mean(warped) < 0.7 * np.mean(plain) or np.mean(plain) < 1.0


def test_static_clip_does_not_move_at_all(woman: Person) -> None:
    """Zero flow to rounding, equal pictures without grain: the zero of every measure of motion."""
    frames = list(render_clip(woman, SCENE, trajectory("static", 3), truth=True))
    for now, then in pairwise(frames):
        assert np.array_equal(now.image, then.image)
        assert now.truth is not None and now.truth.flow is not None and then.truth is not None
        assert np.abs(now.truth.flow).max() < 1e-3
        assert not now.truth.occluded.any()  # type: ignore[union-attr]
        assert np.array_equal(now.truth.five, then.truth.five)


def test_flow_at_a_landmark_is_its_motion(woman: Person) -> None:
    facts = list(clip_truth(woman, replace(SCENE, height=256, width=256), trajectory("look", 24, 1)[4:6]))
    flow = facts[0].flow
    assert flow is not None
    for k in (27, 28, 29, 31, 35):  # the bridge and base of the nose: smooth skin
        x, y = facts[0].landmarks[k]
        there = flow[int(y), int(x)]
        assert np.abs(there - (facts[1].landmarks[k] - facts[0].landmarks[k])).max() < 0.35


def test_camera_pan_has_the_closed_form_of_fm_inter(woman: Person) -> None:
    """A camera that moves by d shifts a point at depth z by focal * d / z: FMinter follows without rendering, and the
    camera-free companion stays near zero."""
    states = trajectory("camera-pan", 4, 2)
    points = np.stack([truth.five for truth in clip_truth(woman, SCENE, states)])
    got = fm_inter(points, 128)
    views = [camera(woman, SCENE, state) for state in states]
    corners = woman.landmarks(woman.vertices())
    deep = (
        views[0].eye[2]
        - np.stack([corners[36:42].mean(0), corners[42:48].mean(0), corners[30], corners[48], corners[54]])[:, 2]
    )
    steps = [np.linalg.norm((b.eye - a.eye)[:2]) for a, b in pairwise(views)]
    expected = max((views[0].focal * step / deep).sum() for step in steps) / 128
    assert got is not None
    assert got.frame == pytest.approx(
        expected, rel=0.01
    )  # eye centres are means of points at slightly different depths
    assert got.local < 0.1 * got.face


def test_zoom_alone_leaves_the_camera_free_companion_at_zero(woman: Person) -> None:
    points = np.stack([truth.five for truth in clip_truth(woman, SCENE, trajectory("camera-zoom", 4, 2))])
    got = fm_inter(points, 128)
    assert got is not None
    assert got.frame > 0.1
    assert got.local < 1e-4


@pytest.mark.parametrize("motion", ["nod", "shake", "turn", "sway", "look", "camera-pan"])
def test_motion_grows_with_its_amplitude(woman: Person, motion: Motion) -> None:
    def path(amplitude: float) -> float:
        points = np.stack([t.five for t in clip_truth(woman, SCENE, trajectory(motion, 12, 5, amplitude))])
        return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).sum())

    lengths = [path(a) for a in (0.0, 0.5, 1.0)]
    assert lengths[0] < 1e-3
    assert lengths[1] == pytest.approx(lengths[2] / 2, rel=0.15)


def test_trajectory_does_not_depend_on_the_frame_count() -> None:
    """Every second frame of a clip twice as dense is the same state."""
    assert trajectory("mixed", 13, 4) == trajectory("mixed", 25, 4)[::2]


def test_amplitude_zero_is_rest() -> None:
    for motion in MOTIONS:
        states = trajectory(motion, 5, 9, amplitude=0.0)
        assert all(state == states[0] for state in states), motion


def test_tremor_is_seeded_and_leaves_the_face_alone() -> None:
    calm = trajectory("smile", 6, 1)
    assert tremble(calm, 3) == tremble(calm, 3) != tremble(calm, 4)
    assert [s.expression for s in tremble(calm, 3)] == [s.expression for s in calm]


def test_true_identity_changes_through_a_morph(woman: Person) -> None:
    """Flow and landmarks stay exact while the person changes from frame to frame."""
    kit = woman.kit
    other = build_person(kit, wear_style(sample_identity(kit, "woman", 5), woman.identity))
    cast = [blend_people(woman, other, t) for t in (0.0, 0.4, 0.8)]
    facts = list(clip_truth(lambda k: cast[k], SCENE, [State()] * 3))
    assert facts[0].flow is not None and np.isfinite(facts[0].flow).all()
    assert np.linalg.norm(facts[2].five - facts[0].five, axis=1).max() > 0.5


def test_pictures_repeat_bit_for_bit(baby: Person) -> None:
    state = State(expression=Expression(smile=0.5), pose=Pose(10, 0, 0))
    noisy = replace(SCENE, grain=0.01)
    assert np.array_equal(render(baby, noisy, state, 4), render(baby, noisy, state, 4))
    assert not np.array_equal(render(baby, noisy, state, 4), render(baby, noisy, state, 5))
    assert np.array_equal(render(baby, SCENE, state, 4), render(baby, SCENE, state, 5))  # the seed is the grain's only


def test_both_back_ends_draw_the_same_picture(baby: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    from mmbench.synth import raster

    monkeypatch.setattr(raster, "default_backend", lambda: "numba")
    one = render(baby, SCENE).astype(int)
    monkeypatch.setattr(raster, "default_backend", lambda: "numpy")
    two = render(baby, SCENE).astype(int)
    assert np.abs(one - two).mean() < 0.05
    assert (np.abs(one - two).max(-1) > 3).mean() < 0.002


def test_five_points_come_from_the_sixty_eight(woman: Person) -> None:
    truth = measure(stage(woman, SCENE, State()))
    assert np.allclose(truth.five, five_points(truth.landmarks))
    assert truth.five[0, 0] < truth.five[2, 0] < truth.five[1, 0]  # image-left eye, nose, image-right eye
