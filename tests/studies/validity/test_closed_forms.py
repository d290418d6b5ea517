"""Metrics from true landmarks and true flow equal their closed forms: made by hand, without a picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmbench.flow.smoothness import SmoothnessTerm, smoothness_term
from mmbench.flow.vbench_rule import pair_score
from mmbench.metrics.dynamic_degree import motion
from mmbench.metrics.fm_ref import fm_ref, in_box, in_pose_units
from mmbench.metrics.id_similarity import compare_with_bank, id_similarity, similarity_curve
from mmbench.metrics.motion_smoothness import smoothness
from mmbench.metrics.similarity_decay import similarity_decay
from mmbench.studies.validity.experiments.cadence import expected, held
from mmbench.studies.validity.experiments.motion import facial_motion

SIDE, FRAMES = 200, 13  # thirteen frames: the four sampled ones lie four steps apart
FACE = np.array([[80.0, 90], [120, 90], [100, 110], [85, 130], [115, 130]], np.float32)
CENTRE = np.float32(SIDE / 2)


def test_a_pan_moves_the_five_points_alike() -> None:
    shift = np.array([3.0, -4.0], np.float32)
    found = facial_motion(np.stack([FACE + k * shift for k in range(FRAMES)]), SIDE)
    assert found["fm_inter"] == pytest.approx(5 * 4 * 5 / SIDE)
    assert found["fm_inter_face"] == pytest.approx(5 * 4 * 5 / 40)
    assert found["fm_inter_rate"] == pytest.approx(5 * 5 / SIDE)
    assert found["fm_inter_local"] == pytest.approx(0, abs=1e-6)
    assert found["floor"] == pytest.approx(0, abs=1e-6)


def test_a_zoom_moves_each_point_by_its_distance_from_the_centre() -> None:
    zoom = 1.02
    track = np.stack([CENTRE + (FACE - CENTRE) * zoom**k for k in range(FRAMES)])
    found = facial_motion(track, SIDE)
    radii = np.linalg.norm(FACE - CENTRE, axis=-1).sum()
    assert found["fm_inter"] == pytest.approx(radii * (zoom**12 - zoom**8) / SIDE, rel=1e-5)
    assert found["fm_inter_rate"] == pytest.approx(radii * (zoom - 1) * (zoom**5 + zoom**6) / 2 / SIDE, rel=1e-4)
    assert found["fm_inter_local"] == pytest.approx(0, abs=1e-5)
    boxes = np.concatenate([track.min(1), track.max(1)], 1)
    assert fm_ref(in_box(track, boxes), in_box(FACE[None], boxes[:1])).max == pytest.approx(0, abs=1e-5)


def test_a_tilt_moves_each_point_along_its_chord() -> None:
    step = np.deg2rad(2.0)
    track = np.stack([_rotated(FACE, k * step) for k in range(FRAMES)])
    found = facial_motion(track, SIDE)
    chords = 2 * np.linalg.norm(FACE - CENTRE, axis=-1).sum() * np.sin(2 * step)
    assert found["fm_inter"] == pytest.approx(chords / SIDE, rel=1e-5)
    assert found["fm_inter_local"] == pytest.approx(0, abs=1e-5)


def test_a_still_face_scores_zero_everywhere() -> None:
    found = facial_motion(np.stack([FACE] * FRAMES), SIDE)
    assert found == dict.fromkeys(found, 0.0) and len(found) == 5


@pytest.mark.parametrize("yaw", [-40.0, -10.0, 0.0, 25.0, 60.0])
def test_turning_a_head_shifts_the_nose_by_the_tangent(yaw: float) -> None:
    """Seen from far, a nose standing n out of a flat face moves by n tan(yaw) / e against everything else, in units
    of the foreshortened eye distance e: the nose by 4/5 of it, the other four points by 1/5 each."""
    out, eyes = 18.0, 40.0
    flat = FACE * (1, 0)  # heights left out: they do not foreshorten
    turned = flat * np.cos(np.deg2rad(yaw))
    turned[2, 0] += out * np.sin(np.deg2rad(yaw))
    found = fm_ref(in_pose_units(turned[None]), in_pose_units(flat[None]))
    assert found.mean == pytest.approx(8 / 5 * out * abs(np.tan(np.deg2rad(yaw))) / eyes)


def test_a_smile_of_known_width() -> None:
    """Mouth corners 4 px outwards in a box that the jaw fixes: 4/60 of its width each."""
    smiling = FACE + np.array([[0, 0], [0, 0], [0, 0], [-4, 0], [4, 0]], np.float32)
    box = np.array([[70.0, 70, 130, 150]])
    assert fm_ref(in_box(smiling[None], box), in_box(FACE[None], box)).mean == pytest.approx(8 / 60)


@pytest.mark.parametrize(("speed", "dynamic"), [(0.0, False), (4.6, False), (4.8, True), (20.0, True)])
def test_even_flow_gives_its_own_length(speed: float, dynamic: bool) -> None:
    flow = torch.zeros(2, SIDE, SIDE)
    flow[0], flow[1] = 0.6 * speed, 0.8 * speed
    scores = [pair_score(flow)] * 11
    verdict = motion(scores, SIDE, SIDE, 12)  # the threshold is 6 px at 256: 4.69 px here
    assert scores[0] == pytest.approx(speed, rel=1e-6)
    assert verdict.dynamic is dynamic
    assert verdict.strength == pytest.approx(speed / SIDE, rel=1e-6)


def test_a_zooming_flow_scores_its_outermost_twentieth() -> None:
    growth, side = 0.05, 512
    flow = growth * (
        torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy")) + 0.5 - side / 2
    )
    radius = torch.linalg.vector_norm(flow, dim=0).flatten() / growth
    assert pair_score(flow) == pytest.approx(
        growth * float(radius.sort().values[-side * side // 20 :].mean()), rel=1e-4
    )


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5, 3.0])
def test_smoothness_of_an_accelerating_pan_is_the_relative_change_of_speed(ratio: float) -> None:
    first = torch.full((2, 64, 64), 2.0)
    found = smoothness_term(first, ratio * first)
    assert found.ratio == pytest.approx(abs(ratio - 1) / (ratio + 1), abs=2e-3)  # eps, 0.05 px at 480, takes the rest


@pytest.mark.parametrize("period", [0, 6, 4, 3, 2])
def test_held_frames_have_the_smoothness_that_the_cadence_says(period: int) -> None:
    indices = held(12, period)
    flows = [torch.full((2, 64, 64), 1.5 * step) for step in np.diff(indices)]
    terms: list[SmoothnessTerm] = [smoothness_term(a, b) for a, b in itertools.pairwise(flows)]
    found = smoothness(terms)
    assert found is not None
    assert found.value == pytest.approx(expected(indices), abs=2e-3)


def test_the_cadence_formula_by_hand() -> None:
    assert held(6, 3) == [0, 1, 1, 3, 4, 4]
    assert expected([0, 1, 1, 3, 4, 4]) == pytest.approx((1 + 1 + 1 / 3 + 1) / 4)
    assert expected(range(8)) == 0


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3])
def test_an_even_loss_of_identity_is_the_decay(loss: float) -> None:
    tau = np.linspace(0, 1, 16)
    cosine = 0.9 - loss * tau
    faces = np.stack([cosine, np.sqrt(1 - cosine**2)], 1) * 1.4
    reference = np.array([[2.0, 0.0]])
    assert id_similarity(faces, reference).value == pytest.approx(0.9 - loss / 2)
    found = similarity_decay(similarity_curve(faces, reference), tau)
    assert found is not None
    assert found.value == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.45, 0.55, 0.8, 1.0])
def test_between_two_people_the_margin_is_the_difference_of_their_cosines(share: float) -> None:
    """On the arc between two people at a right angle, among two more whom the face is not like."""
    angle = share * np.pi / 2
    faces = np.tile([np.cos(angle), np.sin(angle), 0.0, 0.0], (16, 1))
    found = compare_with_bank(faces, "a", ("a", "b", "c", "d"), np.eye(4))
    assert found is not None
    assert found.margin == pytest.approx(np.cos(angle) - np.sin(angle) / 3)
    assert found.rank1 is bool(share < 0.5)
    assert found.nearest == ("a" if share < 0.5 else "b")


def _rotated(points: NDArray[np.float32], angle: float) -> NDArray[np.float32]:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(CENTRE + (points - CENTRE) @ turn, np.float32)
