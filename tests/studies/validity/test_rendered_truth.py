"""The truth that the renderer exports, through the metrics: a rigid head under a camera has a closed form."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmbench.flow.smoothness import smoothness_term
from mmbench.flow.vbench_rule import pair_score
from mmbench.metrics.fm_ref import fm_ref, in_box, in_pose_units
from mmbench.studies.validity.experiments.motion import facial_motion
from mmbench.studies.validity.shots import Shot, stage_shot
from mmbench.synth.clip import clip_truth
from mmbench.synth.control import Cast
from mmbench.synth.motion import trajectory
from mmbench.synth.person import Person
from mmbench.synth.scene import Scene, State, camera
from mmbench.synth.truth import Truth, five_points

FRAMES, SIDE = 10, 128  # the four sampled frames lie three steps apart
SCENE = Scene(height=SIDE, width=SIDE)


@dataclass(frozen=True)
class Filmed:
    person: Person
    states: list[State]
    truths: list[Truth]

    @property
    def points(self) -> NDArray[np.float32]:
        return np.stack([truth.five for truth in self.truths])


@pytest.fixture(scope="module")
def person(cast: Cast) -> Person:
    return stage_shot(cast, Shot("woman-00", "photo"))[0].person


@pytest.fixture(scope="module")
def panned(person: Person) -> Filmed:
    states = trajectory("camera-pan", FRAMES)
    return Filmed(person, states, list(clip_truth(person, SCENE, states)))


@pytest.fixture(scope="module")
def zoomed(person: Person) -> Filmed:
    states = trajectory("camera-zoom", FRAMES)
    return Filmed(person, states, list(clip_truth(person, SCENE, states)))


def test_a_pan_displaces_points_by_focal_length_over_depth(panned: Filmed) -> None:
    """Seen through a pinhole, a point at depth z moves by f / z times what the camera moved."""
    solid = panned.person.landmarks(panned.person.vertices())
    tracks = []
    for state in panned.states:
        view = camera(panned.person, SCENE, state)
        depth = view.eye[2] - solid[:, 2]
        x = SIDE / 2 + view.focal * (solid[:, 0] - view.eye[0]) / depth
        y = SIDE / 2 - view.focal * (solid[:, 1] - view.eye[1]) / depth
        tracks.append(five_points(np.stack([x, y], 1).astype(np.float32)))
    track = np.stack(tracks).astype(np.float64)
    found = facial_motion(panned.points, SIDE)
    steps = np.linalg.norm(np.diff(track[[0, 3, 6, 9]], axis=0), axis=-1).sum(-1) / SIDE
    single = np.linalg.norm(np.diff(track, axis=0), axis=-1).sum(-1) / SIDE
    assert found["fm_inter"] == pytest.approx(steps.max(), rel=1e-4)
    assert found["fm_inter_rate"] == pytest.approx(np.median(single), rel=1e-3)


def test_a_pan_hardly_touches_the_camera_free_companion(panned: Filmed) -> None:
    """Not to rounding: panning looks a little round the nose."""
    found = facial_motion(panned.points, SIDE)
    assert found["fm_inter"] > 0.3
    assert found["fm_inter_local"] < 0.1 * found["fm_inter_face"]


def test_a_zoom_scales_points_about_the_centre(zoomed: Filmed) -> None:
    zooms = np.array([state.zoom for state in zoomed.states])
    from_centre = zoomed.points[0].astype(np.float64) - SIDE / 2
    track = SIDE / 2 + from_centre * (zooms / zooms[0])[:, None, None]
    assert np.abs(zoomed.points - track).max() < 1e-3
    found = facial_motion(zoomed.points, SIDE)
    reach = np.linalg.norm(from_centre, axis=-1).sum()
    assert found["fm_inter"] == pytest.approx(
        reach * np.abs(np.diff(zooms[[0, 3, 6, 9]])).max() / zooms[0] / SIDE, rel=1e-4
    )
    assert found["fm_inter_local"] == pytest.approx(0, abs=1e-4)


def test_a_zoom_leaves_the_distance_from_the_reference_at_zero(zoomed: Filmed) -> None:
    boxes = np.stack([truth.box for truth in zoomed.truths])
    points = zoomed.points
    assert fm_ref(in_box(points, boxes), in_box(points[:1], boxes[:1])).max == pytest.approx(0, abs=1e-4)
    assert fm_ref(in_pose_units(points), in_pose_units(points[:1])).max == pytest.approx(0, abs=1e-4)


def test_the_flow_of_a_zoom_is_linear_in_the_distance_from_the_centre(zoomed: Filmed) -> None:
    zooms = [state.zoom for state in zoomed.states]
    growth = zooms[1] / zooms[0] - 1
    centres = np.arange(SIDE) + 0.5 - SIDE / 2
    radius = np.sort(np.hypot(centres[None], centres[:, None]).ravel())
    flow = zoomed.truths[0].flow
    assert flow is not None
    expected = abs(growth) * radius[-int(0.05 * SIDE * SIDE) :].mean()
    assert pair_score(torch.from_numpy(flow.transpose(2, 0, 1).copy())) == pytest.approx(expected, rel=1e-3)


def test_an_even_pan_is_smooth_and_a_still_clip_does_not_flow(panned: Filmed, person: Person) -> None:
    flows = [torch.from_numpy(t.flow.transpose(2, 0, 1).copy()) for t in panned.truths if t.flow is not None]
    ratios = [smoothness_term(a, b).ratio for a, b in itertools.pairwise(flows)]
    assert max(ratios) < 0.05  # outlines: the pixel behind belongs to the wall
    still = list(clip_truth(person, SCENE, trajectory("static", 3)))
    assert all(np.abs(truth.flow).max() < 1e-3 for truth in still if truth.flow is not None)
    assert max(facial_motion(np.stack([truth.five for truth in still]), SIDE).values(), default=0.0) < 1e-5
