"""The nano set's clips: controls that are what their names say, and one line a clip in the bundled manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.runs.inputs.manifest import collect_manifest
from mmbench.studies.nano.clips import CONTROLS, MODELS, item_of, panned, stranger_to
from mmbench.synth.identity import parse_name
from mmbench.testsets.load import load_testset
from mmbench.video.read import open_clip


def test_a_stranger_is_another_person_of_the_group() -> None:
    names = [identity.id for identity in load_testset("nano70").identities]
    found = {name: stranger_to(name, names) for name in names}
    assert all(parse_name(a)[0] == parse_name(b)[0] and a != b for a, b in found.items())
    assert sorted(found.values()) == sorted(names), "everybody is somebody's stranger"
    with pytest.raises(ValueError, match="alone"):
        stranger_to("man-1", ["man-1", "boy-1"])


def test_a_panned_picture_moves_and_nothing_in_it_does(tmp_path: Path) -> None:
    pixels = np.zeros((110, 110, 3), np.uint8)
    pixels[:, ::10] = 255
    Image.fromarray(pixels).save(tmp_path / "p.png")
    frames = panned(tmp_path / "p.png")
    assert frames.shape == (9, 64, 64, 3)
    np.testing.assert_array_equal(frames[0][:, 6:], frames[-1][:, :-6])


def test_the_bundled_clips_are_those_of_its_people() -> None:
    testset = load_testset("nano70")
    items = {item.id: item for item in collect_manifest(testset.folder / "manifest.csv").items}
    assert len(items) == len(testset.identities) * len((*CONTROLS, *MODELS))
    for name in (*CONTROLS, *MODELS):
        for identity in testset.identities:
            item = items[f"{name}/{identity.id}"]
            assert item == item_of(name, identity, item.video)
            assert len(item.references) == 4 and item.shown == item.references[:1]
    some = open_clip(items["magic-mirror-nano/man-60000"].video).info
    assert (some.n_frames, some.width, some.height, some.fps) == (9, 256, 256, 8.0)
