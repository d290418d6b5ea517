"""What dlib makes of the fifty on views that are nowhere in the set: found in 95 %, told apart at an EER of 2 %."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmbench.studies.synthetic50.looking import descriptor, face_at
from mmbench.studies.synthetic50.measure import equal_error, look_at, table
from mmbench.studies.synthetic50.members import members
from mmbench.studies.synthetic50.screen import face_centre
from mmbench.synth.kit import Kit
from mmbench.synth.person import blend_people, build_person, wear_style
from mmbench.synth.picture import render
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import Scene, State
from mmbench.testsets.synthetic50 import root

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None or importlib.util.find_spec("face_recognition_models") is None,
    reason="dlib or its models are not installed",
)


@pytest.mark.slow
def test_fresh_views_are_found_and_told_apart(kit: Kit) -> None:
    seen = look_at([(m.group, m.seed) for m in members(root())], 4, lambda done, of, what: None, salt=2024)
    rows = table(seen)
    whole = rows[0]
    print(*rows, sep="\n")
    assert whole.hog >= 95
    assert whole.cnn >= 98
    assert whole.eer <= 2
    assert whole.error_median <= 6
    assert all(row.hog >= 80 for row in rows)
    # Backdrop and clothes say nothing about who it is: a recogniser that sees only them is at chance.
    assert abs(whole.surroundings_eer - 50) < 6


@pytest.mark.slow
def test_similarity_falls_evenly_along_a_morph(kit: Kit) -> None:
    """Seven steps from one man to another: distance to the first face rises with the fraction (rank > 0.9)."""
    from scipy.stats import spearmanr

    first = build_person(kit, sample_identity(kit, "man", 0))
    last = build_person(kit, wear_style(sample_identity(kit, "man", 4), first.identity))
    vectors = []
    for t in np.linspace(0, 1, 7):
        person = blend_people(first, last, float(t))
        image = render(person, Scene(), State())
        face = face_at(image, face_centre(person, Scene(), State()))
        assert face is not None
        vectors.append(descriptor(image, face))
    away = [float(np.linalg.norm(v - vectors[0])) for v in vectors]
    assert spearmanr(np.arange(7), away).statistic > 0.9
    assert away[-1] > 0.4


def test_equal_error_of_known_distances() -> None:
    """Two tight, distant pairs are told apart perfectly; two interleaved ones not better than chance allows."""
    apart = [np.array([0.0]), np.array([0.1]), np.array([5.0]), np.array([5.1])]
    assert equal_error(apart, ["a", "a", "b", "b"])[0] == 0
    mixed = [np.array([0.0]), np.array([2.0]), np.array([1.0]), np.array([3.0])]
    assert equal_error(mixed, ["a", "a", "b", "b"])[0] >= 0.25
    assert np.isnan(equal_error(apart, list("abcd"))[0])
