"""The nano world on disk: splits share nobody, a stopped rendering goes on, equal names give equal pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmbench.errors import RequestError
from mmbench.synth.world.people import FIRST_SEED, PER_PERSON, SIZE, people_of, render_person
from mmbench.synth.world.store import load_world, render_world


def test_splits_share_nobody() -> None:
    names = [name for split in FIRST_SEED for name in people_of(split, 3000)]
    assert len(set(names)) == len(names)
    from mmbench.testsets import load_testset

    assert not {identity.id for identity in load_testset("synthetic50").identities} & set(names)


def test_a_person_has_clips_and_stills_cut_out(kit) -> None:
    person = render_person(kit, people_of("test", 1)[0])
    again = render_person(kit, people_of("test", 1)[0])
    assert person.frames.shape == (PER_PERSON, SIZE, SIZE, 4)
    np.testing.assert_array_equal(person.frames, again.frames)
    cover = person.frames[..., 3]
    assert (cover[:, 0, 0] == 0).all()  # the corner is wall
    for picture, five in zip(cover, person.five, strict=True):
        assert (five > 0).all() and (five < SIZE).all()
        assert (picture[five[:, 1].astype(int), five[:, 0].astype(int)] == 255).all()
    assert any(not np.array_equal(person.frames[0], frame) for frame in person.frames[1:9])


def test_a_stopped_rendering_goes_on(kit, tmp_path: Path) -> None:
    first = render_world(tmp_path, "validation", 2)[0]
    stamp = first.stat().st_mtime_ns
    assert render_world(tmp_path, "validation", 2)[0].stat().st_mtime_ns == stamp
    world = load_world(tmp_path, "validation")
    assert world.names == tuple(people_of("validation", 2))
    assert world.frames.shape == (2, PER_PERSON, SIZE, SIZE, 4)
    with pytest.raises(RequestError, match="mmbench nano world"):
        load_world(tmp_path, "train")
