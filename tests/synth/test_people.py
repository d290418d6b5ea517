"""Identities, their blends, and what a built person promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmbench.testsets
from mmbench.errors import RequestError
from mmbench.synth.expression import Expression, unit_weights
from mmbench.synth.identity import GROUPS, blend, parse_name
from mmbench.synth.kit import Kit, KitError, load_kit
from mmbench.synth.person import Person, Pose, blend_people, build_person, shape_person, wear_style
from mmbench.synth.sampling import sample_identity

LIDS = (((37, 38), (40, 41)), ((43, 44), (46, 47)))


def test_missing_kit_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="mmbench synth kit build"):
        load_kit(tmp_path / "facekit.npz")


def test_broken_kit_is_named(tmp_path: Path) -> None:
    (tmp_path / "kit.npz").write_bytes(b"no kit")
    with pytest.raises(KitError, match=r"kit\.npz"):
        load_kit(tmp_path / "kit.npz")


@pytest.mark.parametrize("name", ["woman", "nobody-03", "woman-x", "woman-"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="GROUP-SEED"):
        parse_name(name)


@pytest.mark.parametrize("group", GROUPS)
def test_sampling_is_a_function_of_group_and_seed(kit: Kit, group: str) -> None:
    one, again, other = (sample_identity(kit, group, seed) for seed in (4, 4, 5))  # type: ignore[arg-type]
    assert one == again
    assert one.shape != other.shape
    assert parse_name(one.name) == (group, 4)
    assert sum(one.bases) == pytest.approx(1)
    assert set(one.shape) <= set(kit.shape_row)
    macro = [w for name, w in one.shape.items() if name.startswith("macro/") and "universal" not in name]
    assert sum(macro) == pytest.approx(1, abs=1e-3)


def test_blend_runs_from_one_identity_to_the_other(kit: Kit) -> None:
    a, b = sample_identity(kit, "man", 0), sample_identity(kit, "man", 1)
    start, end, middle = blend(a, b, 0), blend(a, b, 1), blend(a, b, 0.5)
    assert start.shape.keys() == a.shape.keys()
    assert start.look == a.look
    assert end.shape == pytest.approx(b.shape)
    assert end.look.skin == pytest.approx(b.look.skin)
    assert end.look.hair_style == a.look.hair_style
    assert np.allclose(2 * np.array(middle.look.iris), np.array(a.look.iris) + np.array(b.look.iris))


def test_morph_moves_landmarks_evenly(kit: Kit) -> None:
    """Distance from the first face grows in proportion to the fraction, and blended people equal blended shapes."""
    a = sample_identity(kit, "woman", 1)
    b = wear_style(sample_identity(kit, "woman", 2), a)
    first, last = build_person(kit, a), build_person(kit, b)
    points = [
        blend_people(first, last, t).landmarks(blend_people(first, last, t).neutral) for t in np.linspace(0, 1, 5)
    ]
    away = [np.linalg.norm(p - points[0]) for p in points]
    assert np.allclose(np.array(away) / away[-1], np.linspace(0, 1, 5), atol=1e-3)
    assert np.allclose(blend_people(first, last, 0).texture, first.texture)
    assert np.allclose(blend_people(first, last, 1).neutral, last.neutral, atol=1e-5)


def test_different_hair_cannot_be_blended(woman: Person, baby: Person) -> None:
    with pytest.raises(RequestError, match="wear_style"):
        blend_people(woman, baby, 0.5)


def test_lids_close_in_all_fifty(kit: Kit) -> None:
    """A full blink leaves less than a tenth of the opening, whatever the shape of the eye."""
    document = json.loads((Path(mmbench.testsets.__path__[0]) / "synthetic50" / "identities.json").read_text())
    for entry in document["identities"]:
        made = shape_person(kit, sample_identity(kit, *parse_name(entry["id"])))
        shut = made.neutral.copy()
        for name, weight in unit_weights(Expression(blink_left=1, blink_right=1), made.closing).items():
            shut += weight * made.unit(name)
        for upper, lower in LIDS:
            gaps = [
                kit.landmarks(v)[list(upper), 1].mean() - kit.landmarks(v)[list(lower), 1].mean()
                for v in (made.neutral, shut)
            ]
            assert abs(gaps[1]) < 0.1 * gaps[0], entry["id"]


def test_building_twice_gives_the_same_person(kit: Kit, baby: Person) -> None:
    again = build_person(kit, baby.identity)
    assert np.array_equal(again.texture, baby.texture)
    assert np.array_equal(again.occlusion, baby.occlusion)
    assert np.array_equal(again.neutral, baby.neutral)


def test_turning_keeps_the_chest_and_turns_the_head(woman: Person) -> None:
    still, turned = woman.vertices(), woman.vertices(pose=Pose(yaw=30))
    share = woman.body.share
    assert np.abs(turned - still)[share == 0].max() < 1e-5
    head = share == 1
    gaps = [np.linalg.norm(v[head][::50][:, None] - v[head][::50][None], axis=-1) for v in (still, turned)]
    assert np.allclose(gaps[0], gaps[1], atol=1e-4)  # rigid


def test_clothes_hide_the_torso(woman: Person, baby: Person) -> None:
    """Whatever lies below the neckline is cloth: there is no switch to leave it out."""
    for person in (woman, baby):
        low = (person.body.canonical[: person.body.n_body, 1] < 5.0) & (person.kit.turn_fraction < 0.5)
        assert person.body.masks[: person.body.n_body][low, 3].min() > 0.99


def test_wear_style_changes_only_hair(kit: Kit) -> None:
    a, b = sample_identity(kit, "girl", 0), sample_identity(kit, "girl", 3)
    worn = wear_style(b, a)
    assert worn.shape == b.shape
    assert replace(worn.look, hair_style="", hair_volume=0, hairline=0, hair=(0, 0, 0), grey=0) == replace(
        b.look, hair_style="", hair_volume=0, hairline=0, hair=(0, 0, 0), grey=0
    )
